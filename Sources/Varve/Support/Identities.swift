internal import VarveFormat
internal import VarveIO

extension FileSystem {
    /// A new identity for what is about to be made at `path`. Throws where the system has no randomness.
    func freshID(for path: String) throws(IOFailure) -> UniqueID {
        guard let id = UniqueID(random: randomBytes(16)) else {
            throw IOFailure(.create, path: path, code: 5)
        }
        return id
    }
}
