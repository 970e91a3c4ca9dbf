/// A packed column, decoded a bit at a time with exact integers, as `Formats/segment.md#packed-column` says.
public enum ReferenceColumn {
    /// The `count` values of the column at `position`, which is moved behind it; nil for what is no column.
    public static func decode(_ bytes: ArraySlice<UInt8>, at position: inout Int, count: Int) -> [Int64]? {
        guard let mode = byte(bytes, &position), mode <= 2, let base = svarint(bytes, &position) else {
            return nil
        }
        if mode == 0 { return Array(repeating: base, count: count) }
        guard let unit = varint(bytes, &position), unit >= 1, let width = byte(bytes, &position), width <= 64
        else { return nil }
        var least: Int64 = 0
        if mode == 2 {
            guard let delta = svarint(bytes, &position) else { return nil }
            least = delta
        }
        let packedCount = mode == 2 ? count - 1 : count
        let packedBytes = (packedCount * Int(width) + 7) / 8
        guard packedBytes <= bytes.endIndex - position else { return nil }
        let start = position
        position += packedBytes
        for bit in packedCount * Int(width)..<packedBytes * 8
        where bytes[start + bit / 8] >> UInt8(bit % 8) & 1 != 0 {
            return nil
        }
        var values: [Int64] = []
        values.reserveCapacity(count)
        if mode == 2 { values.append(base) }
        for index in 0..<packedCount {
            var number: UInt64 = 0
            for bit in 0..<Int(width) {
                let place = index * Int(width) + bit
                number |= UInt64(bytes[start + place / 8] >> UInt8(place % 8) & 1) << UInt64(bit)
            }
            // Below 2^128 - 2^65: no overflow in an unsigned product of 128 bits.
            let product = UInt128(unit) * UInt128(number)
            guard product <= UInt128(UInt64.max) else { return nil }
            let step = Int128(mode == 2 ? least : base) + Int128(product)
            guard Int64(exactly: step) != nil else { return nil }
            let value = mode == 2 ? Int128(values[index]) + step : step
            guard let value = Int64(exactly: value) else { return nil }
            values.append(value)
        }
        return values
    }

    private static func byte(_ bytes: ArraySlice<UInt8>, _ position: inout Int) -> UInt8? {
        guard position < bytes.endIndex else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    private static func varint(_ bytes: ArraySlice<UInt8>, _ position: inout Int) -> UInt64? {
        var value: UInt64 = 0
        for index in 0..<10 {
            guard let byte = byte(bytes, &position) else { return nil }
            if index == 9, byte != 1 { return nil }
            value |= UInt64(byte & 127) << UInt64(7 * index)
            if byte & 128 == 0 { return index > 0 && byte == 0 ? nil : value }
        }
        return nil
    }

    private static func svarint(_ bytes: ArraySlice<UInt8>, _ position: inout Int) -> Int64? {
        guard let zigzag = varint(bytes, &position) else { return nil }
        return Int64(bitPattern: zigzag >> 1) ^ -Int64(bitPattern: zigzag & 1)
    }
}
