/// The fixed texts of the workloads.
enum WorkloadTexts {
    static let kinds = TextTable(WorkloadA.kindNames)
    static let words = TextTable(
        """
        window project session cursor render buffer layout network request failed loaded module update \
        selection document workspace file changed saved opened closed retry timeout cache hit miss index search \
        result query panel sidebar editor theme token parser compile warning error debug trace info start stop \
        resume pause worker thread queue message channel socket connect disconnect user profile settings sync \
        upload download image asset bundle chunk resolve import export default value missing invalid expected \
        received unexpected while reading writing from into with without after before ms items entries rows \
        columns state store action reducer effect component mounted unmounted props children focus blur scroll \
        resize pointer keyboard shortcut menu dialog toast notification plugin extension command palette \
        terminal process exit code signal memory heap snapshot frame paint idle
        """.split(separator: " ").map { String($0) })

    static let commands = TextTable([
        "fs.read_text_file", "fs.write_file", "fs.metadata", "window.set_title", "window.get_size",
        "db.query",
        "db.execute", "shell.spawn", "clipboard.read", "dialog.open", "updater.check", "store.get",
        "store.set",
        "http.fetch", "index.search", "git.status",
    ])
    static let windows = TextTable(["main", "settings", "preview", "inspector"])
    static let stores = TextTable(["workspace", "editor", "session", "ui", "network", "auth"])
    static let paths = TextTable([
        "tabs", "cursor", "selection", "viewport", "panels", "history", "items", "filters", "flags", "layout",
    ])
    static let sources = TextTable([
        "src/main.ts", "src/app/router.ts", "src/app/store.ts", "src/views/Editor.svelte",
        "src/views/List.svelte", "src/lib/ipc.ts", "src/lib/cache.ts", "node_modules/vite/client.mjs",
    ])
    static let levels = TextTable(["debug", "info", "info", "info", "log", "warn", "error"])
    static let tags = TextTable(["div", "span", "li", "a", "button", "input", "p", "section", "svg", "td"])
    static let classes = TextTable([
        "item", "item item--active", "row", "row row--selected", "btn btn-primary", "btn", "cell", "label",
        "icon icon-sm", "toolbar", "tab tab--open", "hidden",
    ])
    static let resources = TextTable([
        "projects", "users", "sessions", "items", "comments", "search", "events", "assets",
    ])
    static let extensions = TextTable(["rs", "ts", "json", "svelte", "md", "css"])
    static let inputs = TextTable([
        "pointermove", "pointerdown", "pointerup", "keydown", "keyup", "wheel", "focusin", "click",
    ])
}
