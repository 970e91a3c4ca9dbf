import Foundation

/// Panels below each other as one SVG file: shapes and text alone, in the fonts that a viewer has.
struct Plot {
    var title: String
    var panels: [Panel] = []

    private static let width = 900.0

    /// The whole file.
    var svg: String {
        var top = 44.0
        var parts: [String] = []
        for panel in panels {
            parts += panel.draw(top: top, width: Plot.width)
            top += panel.height
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(SVG.number(Plot.width))" height="\(SVG.number(top))" \
            viewBox="0 0 \(SVG.number(Plot.width)) \(SVG.number(top))" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="#fff"/>
            \(SVG.text(title, Plot.width / 2, 24, anchor: "middle", size: 14))
            \(parts.joined(separator: "\n"))
            </svg>

            """
    }

    /// Writes the file, and the directory that it is in.
    func write(to path: String) throws {
        let file = URL(filePath: path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(svg.utf8).write(to: file, options: .atomic)
    }
}

/// A direction of a panel: what it shows, from where to where, and what is written at it.
struct Axis {
    typealias Tick = (value: Double, text: String)

    var title: String
    var range: ClosedRange<Double>
    var isLogarithmic = false
    var ticks: [Tick]

    /// From 0 to a round number that is at least `most`. The texts count in units of `unit`.
    static func linear(_ title: String, upTo most: Double, unit: Double = 1) -> Axis {
        let rough = max(most / unit, 1e-9) / 5
        let decade = pow(10, floor(log10(rough)))
        let step = ([1, 2, 5].first { $0 * decade >= rough } ?? 10) * decade
        let count = max(Int((most / unit / step).rounded(.up)), 1)
        return Axis(
            title: title, range: 0...Double(count) * step * unit,
            ticks: (0...count).map { (Double($0) * step * unit, SVG.number(Double($0) * step)) })
    }

    /// Whole decades around the values, which are above 0; those that are not do not count.
    static func logarithmic(_ title: String, around values: [Double], _ text: (Double) -> String) -> Axis {
        let values = values.filter { $0 > 0 }
        let first = floor(log10(values.min() ?? 1))
        // What is next to a decade's end stands on it.
        let last = max(ceil(log10(values.max() ?? 10) - 0.01), first + 1)
        return Axis(
            title: title, range: pow(10, first)...pow(10, last), isLogarithmic: true,
            ticks: (Int(first)...Int(last)).map { (pow(10, Double($0)), text(pow(10, Double($0)))) })
    }

    /// Where a value stands: 0 at the start, 1 at the end.
    func place(_ value: Double) -> Double {
        let (low, high) = (range.lowerBound, range.upperBound)
        let place =
            isLogarithmic ? log10(max(value, low) / low) / log10(high / low) : (value - low) / (high - low)
        return min(max(place, 0), 1)
    }
}

/// One curve of a panel.
struct Series {
    /// What the legend says; nil: it is not in the legend.
    var name: String?
    var points: [(x: Double, y: Double)]
    /// Its place in `SVG.colors`.
    var color = 0
    var isDashed = false
    var hasMarks = false
}

/// One bar of a panel.
struct Bar {
    enum Role { case own, other, limit }

    var label: String
    var value: Double
    /// The value as it is written behind the bar.
    var text: String
    var role = Role.other
}

/// A drawing area with its title, axes and legend.
struct Panel {
    private enum Content {
        case curves(x: Axis, y: Axis, [Series], height: Double)
        case bars(Axis, [Bar])
    }

    private let title: String
    private let content: Content

    private static let barHeight = 20.0
    private static let right = 32.0

    static func curves(
        _ title: String, x: Axis, y: Axis, _ series: [Series], height: Double = 260
    ) -> Panel {
        Panel(title: title, content: .curves(x: x, y: y, series, height: height))
    }

    static func bars(_ title: String, _ axis: Axis, _ bars: [Bar]) -> Panel {
        Panel(title: title, content: .bars(axis, bars))
    }

    private var areaHeight: Double {
        switch content {
        case .curves(_, _, _, let height): height
        case .bars(_, let bars): Double(max(bars.count, 1)) * Panel.barHeight
        }
    }

    private var names: [(name: String, series: Series)] {
        guard case .curves(_, _, let series, _) = content else { return [] }
        let named = series.compactMap { series in series.name.map { ($0, series) } }
        return named.count > 1 ? named : []
    }

    private var headHeight: Double { names.isEmpty ? 22 : 42 }

    /// With the space below it.
    var height: Double { headHeight + areaHeight + 60 }

    func draw(top: Double, width: Double) -> [String] {
        let areaTop = top + headHeight
        switch content {
        case .curves(let x, let y, let series, let height):
            let area = Area(left: 96, top: areaTop, width: width - 96 - Panel.right, height: height)
            return [SVG.text(title, area.left, top + 10, size: 13)] + legend(area.left, top + 30)
                + area.grid(x) + area.grid(y, isVertical: true)
                + [area.frame] + series.flatMap { area.curve($0, x, y) }
        case .bars(let axis, let bars):
            let area = Area(
                left: 270, top: areaTop, width: width - 270 - 110 - Panel.right, height: areaHeight)
            return [SVG.text(title, Panel.right, top + 10, size: 13)] + area.grid(axis)
                + bars.enumerated().flatMap { area.bar($0.element, axis, number: $0.offset, Panel.barHeight) }
        }
    }

    private func legend(_ left: Double, _ y: Double) -> [String] {
        var x = left
        return names.flatMap { name, series in
            defer { x += 40 + 7 * Double(name.count) }
            return [
                SVG.line(x, y - 4, x + 18, y - 4, SVG.colors[series.color], 2, isDashed: series.isDashed),
                SVG.text(name, x + 23, y),
            ]
        }
    }
}

/// The rectangle of a panel in which its values stand.
private struct Area {
    let left: Double
    let top: Double
    let width: Double
    let height: Double

    private var bottom: Double { top + height }

    var frame: String {
        "<rect x=\"\(SVG.number(left))\" y=\"\(SVG.number(top))\" width=\"\(SVG.number(width))\" "
            + "height=\"\(SVG.number(height))\" fill=\"none\" stroke=\"#888\"/>"
    }

    private func x(_ place: Double) -> Double { left + width * place }
    private func y(_ place: Double) -> Double { bottom - height * place }

    /// The lines at an axis' ticks, with their texts and the axis' title.
    func grid(_ axis: Axis, isVertical: Bool = false) -> [String] {
        let lines = axis.ticks.flatMap { value, text in
            let place = axis.place(value)
            return isVertical
                ? [
                    SVG.line(left, y(place), left + width, y(place), "#e4e4e4"),
                    SVG.text(text, left - 6, y(place) + 4, anchor: "end"),
                ]
                : [
                    SVG.line(x(place), top, x(place), bottom, "#e4e4e4"),
                    SVG.text(text, x(place), bottom + 15, anchor: "middle"),
                ]
        }
        let title =
            isVertical
            ? SVG.text(axis.title, 18, top + height / 2, anchor: "middle", turned: true)
            : SVG.text(axis.title, left + width / 2, bottom + 32, anchor: "middle")
        return lines + [title]
    }

    func curve(_ series: Series, _ x: Axis, _ y: Axis) -> [String] {
        let color = SVG.colors[series.color]
        let points = series.points.map { (self.x(x.place($0.x)), self.y(y.place($0.y))) }
        let list = points.map { "\(SVG.number($0.0)),\(SVG.number($0.1))" }.joined(separator: " ")
        let dashes = series.isDashed ? " stroke-dasharray=\"5 4\"" : ""
        let line =
            "<polyline fill=\"none\" stroke=\"\(color)\" stroke-width=\"1.5\"\(dashes) points=\"\(list)\"/>"
        guard series.hasMarks else { return [line] }
        return [line]
            + points.map {
                "<circle cx=\"\(SVG.number($0.0))\" cy=\"\(SVG.number($0.1))\" r=\"3\" "
                    + "fill=\"\(series.isDashed ? "#fff" : color)\" stroke=\"\(color)\"/>"
            }
    }

    func bar(_ bar: Bar, _ axis: Axis, number: Int, _ step: Double) -> [String] {
        let y = top + Double(number) * step
        let end = x(axis.place(bar.value))
        let fill =
            switch bar.role {
            case .own: "#06c"
            case .other: "#9aa7b5"
            case .limit: "#e0b060"
            }
        return [
            "<rect x=\"\(SVG.number(left))\" y=\"\(SVG.number(y + 3))\" "
                + "width=\"\(SVG.number(max(end - left, 1)))\" height=\"\(SVG.number(step - 6))\" fill=\"\(fill)\"/>",
            SVG.text(bar.label, left - 8, y + step / 2 + 4, anchor: "end"),
            SVG.text(bar.text, end + 6, y + step / 2 + 4),
        ]
    }
}

/// The elements that plots are made of.
enum SVG {
    static let colors = ["#06c", "#c60", "#090", "#939", "#555", "#c00"]

    /// A number with at most so many digits behind the point, and no zeros at their end.
    static func number(_ value: Double, digits: Int = 2) -> String {
        var text = String(format: "%.\(digits)f", value)
        guard text.contains(".") else { return text }
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    static func line(
        _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String, _ width: Double = 1,
        isDashed: Bool = false
    ) -> String {
        "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" "
            + "stroke=\"\(color)\" stroke-width=\"\(number(width))\"\(isDashed ? " stroke-dasharray=\"5 4\"" : "")/>"
    }

    static func text(
        _ text: String, _ x: Double, _ y: Double, anchor: String = "start", size: Int = 12,
        turned: Bool = false
    ) -> String {
        let escaped = text.replacingOccurrences(of: "&", with: "&amp;")
            .replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(of: ">", with: "&gt;")
        let turn = turned ? " transform=\"rotate(-90 \(number(x)) \(number(y)))\"" : ""
        return "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\" "
            + "font-size=\"\(size)\"\(turn)>\(escaped)</text>"
    }

    /// Nanoseconds in the unit that suits them.
    static func duration(_ nanoseconds: Double) -> String {
        switch nanoseconds {
        case ..<1e3: "\(number(nanoseconds)) ns"
        case ..<1e6: "\(number(nanoseconds / 1e3)) µs"
        case ..<1e9: "\(number(nanoseconds / 1e6)) ms"
        default: "\(number(nanoseconds / 1e9)) s"
        }
    }

    /// A power of ten as it is written.
    static func powerOfTen(_ value: Double) -> String {
        let digits = ["0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷"]
            .merging(["8": "⁸", "9": "⁹", "-": "⁻"]) { first, _ in first }
        return "10" + String(Int(log10(value).rounded())).map { digits[String($0)] ?? "" }.joined()
    }
}
