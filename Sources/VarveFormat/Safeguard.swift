#if VARVE_ORACLE
#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif
#endif

/// A check or a sync that a test build can go without, one at a time, to show that a test notices.
///
/// `Tests/Crash/README.md` has a table of them with the test that notices each; `make oracle` goes through it.
/// Any other build has all of them, and pays nothing: `isLeftOut` is a constant there.
package enum Safeguard: Sendable {
    // Checksums.
    case segmentHeaderChecksum, sectionChecksum, blockHeaderChecksum, smallPartChecksum, subBlockChecksum
    case trailerChecksum, digest, storeChecksum, stateChecksum
    case tailHeaderChecksum, tailKindChecksum, tailSlotChecksum, tailRowChecksum

    // Bounds of the bytes of the format.
    case readerEnd, readerCount, varintBits, metadataLength
    case segmentHeaderLength, sectionLength, storeLength, stateLength
    case blockLimits, blockLengths, blockSequences, blockIndices, controlBlockLengths
    case directorySums, rowLengths, columnRange, columnWidth
    case subBlockLength, subBlockRatio, subBlockWanted, subBlockDecoded, dictionaryLength
    case trailerLengths, summaryPlace, indexEntryFields, indexCount, indexOrder, footerAgreement
    case footerCounts, pyramidSize, filterLengths
    case tailSizes, tailKindsLength, tailRowCount, tailPayloadLength, tailNumbers, tailSlotLength
    case ledgerRange

    // Bounds of the engine's reading.
    case indexAgreement, filterAgreement

    // Syncs of files.
    case segmentSync, dataSync, footerSync, mendedFooterSync, storeSync, stateSync, repairedFileSync
    case earlierSegmentSync, paddingSync

    // Syncs of directories.
    case segmentNameSync, storeNameSync, stateNameSync, storeParentSync, openingNamesSync, recoveredNameSync
    case recoveredRemovalSync, resealedRemovalSync, repairedNamesSync, repairedParentSync
    case sealedNamesSync, droppedRemovalSync, compactedNameSync

    /// Whether this build and run go without it.
    @inlinable
    package var isLeftOut: Bool {
        #if VARVE_ORACLE
        self == Safeguard.leftOut
        #else
        false
        #endif
    }
}

#if VARVE_ORACLE
extension Safeguard: CaseIterable {
    /// The one that the environment names.
    @usableFromInline static let leftOut: Safeguard? = {
        guard let value = getenv("VARVE_ORACLE") else { return nil }
        // SAFETY: `getenv` returns a terminated string; nothing changes the environment.
        let name = String(cString: value)
        guard let safeguard = allCases.first(where: { "\($0)" == name }) else {
            fatalError("no safeguard is called \(name)")
        }
        return safeguard
    }()
}
#endif
