internal import CRE2
public import Varve

/// A regular expression over bytes, in RE2's syntax, case-sensitive unless told otherwise.
///
/// Searching takes time linear in the bytes, whatever the pattern, and bounded memory: what would need more,
/// backreferences and lookaround, RE2 does not have. Text is UTF-8; bytes that are part of no character match
/// no `.` and no class.
public final class RegularExpression: Sendable, CustomStringConvertible {
    /// A pattern that can't be used.
    public struct Fault: Error, Hashable, CustomStringConvertible {
        /// What was given.
        public let pattern: String
        /// Why not.
        public let reason: String

        /// Both, for people.
        public var description: String { "“\(pattern)” can't be used as a regular expression: \(reason)" }
    }

    /// What it was made from.
    public let pattern: String
    /// Whether upper and lower case are the same to it, as Unicode's simple case folding has it.
    public let isIgnoringCase: Bool

    private let compiled: Compiled

    /// What is in all bytes in which it is found. Nothing is known of patterns of more than 4 KiB or 256 alternatives.
    public let textRequirement: TextRequirement

    /// RE2's object, which may be asked by several threads at once.
    private final class Compiled: Sendable {
        nonisolated(unsafe) let handle: OpaquePointer

        init(_ handle: OpaquePointer) { self.handle = handle }

        deinit { varve_re2_free(handle) }

        /// Whether bytes may match in which only these atoms are.
        func isPossible(_ isPresent: (Int) -> Bool) -> Bool {
            let present = (0..<varve_re2_atom_count(handle)).filter(isPresent).map { Int32($0) }
            return present.withUnsafeBufferPointer { varve_re2_possible(handle, $0.baseAddress, $0.count) }
        }
    }

    /// Compiles a pattern. Throws where its syntax is wrong, or it takes more memory than 16 MiB.
    public init(_ pattern: String, ignoringCase: Bool = false) throws(Fault) {
        var text = pattern
        // SAFETY: RE2 copies the pattern; an empty one has no bytes to read.
        let made = text.withUTF8 { varve_re2_new($0.baseAddress, $0.count, ignoringCase) }
        guard let made else { throw Fault(pattern: pattern, reason: "there is no memory for it") }
        if let error = varve_re2_error(made) {
            var reason = String(cString: error)
            if varve_re2_is_too_large(made) {
                reason =
                    "it is too large (\(reason)); repeat less, at most 1000 times, or use fewer alternatives"
            }
            varve_re2_free(made)
            throw Fault(pattern: pattern, reason: reason)
        }
        self.pattern = pattern
        self.isIgnoringCase = ignoringCase
        compiled = Compiled(made)
        textRequirement = Self.requirement(of: compiled, pattern, ignoringCase: ignoringCase)
    }

    /// The pattern between slashes, with an `i` behind where case is ignored.
    public var description: String { "/\(pattern)/\(isIgnoringCase ? "i" : "")" }

    /// Whether it matches anywhere in the bytes. `^` and `$` are their start and end. Linear in their number;
    /// any threads may call at once.
    public func isFound(in bytes: UnsafeRawBufferPointer) -> Bool {
        // SAFETY: the bytes are only read, and only during the call.
        varve_re2_found(compiled.handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    private static func requirement(
        of compiled: Compiled, _ pattern: String, ignoringCase: Bool
    ) -> TextRequirement {
        let count = varve_re2_atom_count(compiled.handle)
        guard count > 0 else { return .nothing }
        let folds = mayMeanOtherThanASCII(pattern, ignoringCase: ignoringCase)
        let atoms = (0..<count).map { index in
            var length = 0
            let start = varve_re2_atom(compiled.handle, index, &length)
            return requirement(ofAtom: Array(UnsafeBufferPointer(start: start, count: length)), folds: folds)
        }
        if count == 1 { return atoms[0] }
        let isOneEnough = atoms.indices.allSatisfy { one in compiled.isPossible { $0 == one } }
        if isOneEnough { return .any(atoms) }
        let isEachNeeded = atoms.indices.allSatisfy { one in !compiled.isPossible { $0 != one } }
        if isEachNeeded { return .all(atoms) }
        return .combination(atoms) { present in compiled.isPossible { present[$0] } }
    }

    /// What stands in bytes that hold what an atom stands for.
    ///
    /// RE2 gives atoms in lower case and means that the searched text is brought to lower case as it has it,
    /// character by character; a `TextRequirement` only knows of the case of ASCII letters. So nothing is
    /// known of an atom's other characters, and where the pattern may mean more than ASCII the atom's `k` and
    /// `s` may be the Kelvin sign and the long s: those are the only other characters that RE2 brings to
    /// ASCII.
    static func requirement(ofAtom atom: [UInt8], folds: Bool) -> TextRequirement {
        let isOther = { (byte: UInt8) in
            byte >= 0x80 || folds && (byte == UInt8(ascii: "k") || byte == UInt8(ascii: "s"))
        }
        guard atom.contains(where: isOther) else { return .text(atom) }
        let pieces = atom.split(whereSeparator: isOther).filter { $0.count >= 3 }
        var parts = pieces.map { TextRequirement.text(Array($0)) }
        if atom.allSatisfy({ $0 < 0x80 }) {
            var others: [TextRequirement] = []
            if atom.contains(UInt8(ascii: "k")) { others.append(.text(Array("\u{212A}".utf8))) }
            if atom.contains(UInt8(ascii: "s")) { others.append(.text(Array("\u{17F}".utf8))) }
            parts.append(.any(others))
            return .any([.text(atom), .all(parts)])
        }
        return parts.isEmpty ? .nothing : .all(parts)
    }

    /// Whether an ASCII letter in an atom of the pattern may stand for a character beyond ASCII: where case
    /// is ignored, or where the pattern names such characters, as themselves or by an escape. Says yes too
    /// often rather than too rarely.
    static func mayMeanOtherThanASCII(_ pattern: String, ignoringCase: Bool) -> Bool {
        if ignoringCase || pattern.utf8.contains(where: { $0 >= 0x80 }) { return true }
        let bytes = Array(pattern.utf8)
        for (index, byte) in bytes.enumerated().dropLast() {
            let next = bytes[index + 1]
            if byte == UInt8(ascii: "\\") {
                switch next {
                case UInt8(ascii: "x"), UInt8(ascii: "p"), UInt8(ascii: "P"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    return true
                default: break
                }
            } else if byte == UInt8(ascii: "("), next == UInt8(ascii: "?") {
                let flags = bytes[(index + 2)...].prefix { "imsU-".utf8.contains($0) }
                if flags.contains(UInt8(ascii: "i")) { return true }
            }
        }
        return false
    }
}
