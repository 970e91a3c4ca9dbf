#include "CSimdJSON.h"

#include <simdjson.h>

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dom = simdjson::dom;
using std::string_view;

static_assert(simdjson::SIMDJSON_PADDING <= varve_json_padding, "the promised padding is enough");

namespace {

static_assert(varve_json_paths_max * 2 <= 64, "a line's findings fit a word");

struct Path {
    std::string whole;
    std::vector<std::string> steps;  // Empty when there is no dot.
};

// A value and the ordinals of the members that lead to it, by which its own text is found again in the document.
struct Found {
    dom::element element;
    uint32_t ordinal = 0;
};

// A key of a line's object that some path begins with.
struct Wanted {
    std::string key;
    uint8_t slot;  // Where in `found` it goes: twice the path's index, and one more for a first step.
};

constexpr size_t depth_max = 1024;
// For a document that carries another one a few levels down.
constexpr size_t depth_deep = depth_max + 8;
constexpr size_t length_classes = 32;  // The last holds all longer keys.

size_t length_class(size_t length) { return length < length_classes ? length : length_classes - 1; }

constexpr size_t capacity_kept = 8 << 20;
constexpr size_t line_small = 1 << 20;

const uint8_t *skip_space(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) ++p;
    return p;
}

// Past the string whose opening quote is at p.
const uint8_t *skip_string(const uint8_t *p, const uint8_t *end) {
    for (++p; p < end; ++p) {
        if (*p == '\\') {
            ++p;
        } else if (*p == '"') {
            return p + 1;
        }
    }
    return end;
}

// Past the value at p, in a document known to be valid.
const uint8_t *skip_value(const uint8_t *p, const uint8_t *end) {
    size_t depth = 0;
    while (p < end) {
        switch (*p) {
            case '"':
                p = skip_string(p, end);
                break;
            case '{':
            case '[':
                ++depth;
                ++p;
                continue;
            case '}':
            case ']':
                if (depth > 0) --depth;
                ++p;
                break;
            case ',':
            case ':':
            case ' ':
            case '\t':
            case '\n':
            case '\r':
                ++p;
                continue;
            default:
                while (p < end && *p != ',' && *p != '}' && *p != ']' && *p != ' ' && *p != '\t' && *p != '\n' &&
                       *p != '\r')
                    ++p;
        }
        if (depth == 0) return p;
    }
    return end;
}

// Start of the value of the object's member with this ordinal; `p` is at the opening brace of a valid object.
const uint8_t *member_value(const uint8_t *p, const uint8_t *end, uint32_t ordinal) {
    p = skip_space(p, end);
    if (p < end) ++p;
    for (uint32_t i = 0; p < end; ++i) {
        p = skip_space(p, end);
        p = skip_string(p, end);
        p = skip_space(p, end);
        if (p < end) ++p;  // The colon.
        p = skip_space(p, end);
        if (i == ordinal) return p;
        p = skip_space(skip_value(p, end), end);
        if (p < end) ++p;  // The comma.
    }
    return end;
}

bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

// Past the JSON number at p, or null when there is none that ends there. `wide`: it has a fraction or an exponent, or is a
// whole number beyond 64 bits.
const uint8_t *skip_number(const uint8_t *p, const uint8_t *end, bool &wide) {
    const bool negative = *p == '-';
    if (negative) ++p;
    if (p == end || !is_digit(*p)) return nullptr;
    const uint8_t *first = p;
    uint64_t size = 0;
    wide = false;
    for (; p < end && is_digit(*p); ++p) {
        uint64_t digit = uint64_t(*p - '0');
        wide = wide || size > (UINT64_MAX - digit) / 10;
        size = size * 10 + digit;
    }
    wide = wide || (negative && size > uint64_t(1) << 63);
    if (*first == '0' && p - first > 1) return nullptr;
    if (p < end && *p == '.') {
        wide = true;
        first = ++p;
        while (p < end && is_digit(*p)) ++p;
        if (p == first) return nullptr;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        wide = true;
        ++p;
        if (p < end && (*p == '+' || *p == '-')) ++p;
        first = p;
        while (p < end && is_digit(*p)) ++p;
        if (p == first) return nullptr;
    }
    return p == end || memchr(",]} \t\n\r", *p, 7) ? p : nullptr;
}

// Writes a zero and spaces over each wide number of a document, which leaves it exactly as valid as it was: only whole tokens
// that are numbers are touched. Returns whether there were any.
bool blank_wide_numbers(uint8_t *bytes, size_t length) {
    bool any = false;
    uint8_t before = ' ';
    uint8_t *const end = bytes + length;
    for (uint8_t *p = bytes; p < end;) {
        uint8_t *next = p + 1;
        if (*p == '"') {
            next = const_cast<uint8_t *>(skip_string(p, end));
        } else if ((*p == '-' || is_digit(*p)) && memchr(",:[ \t\n\r", before, 7)) {
            bool wide = false;
            const uint8_t *past = skip_number(p, end, wide);
            if (past) next = const_cast<uint8_t *>(past);
            if (past && wide) {
                memset(p, ' ', size_t(past - p));
                *p = '0';
                any = true;
            }
        }
        before = next[-1];
        p = next;
    }
    return any;
}

bool find_member(dom::object object, string_view key, Found &found) {
    uint32_t ordinal = 0;
    for (auto it = object.begin(), last = object.end(); it != last; ++it, ++ordinal) {
        if (it.key_length() == key.size() && memcmp(it.key_c_str(), key.data(), key.size()) == 0) {
            found.element = it.value();
            found.ordinal = ordinal;
            return true;
        }
    }
    return false;
}

varve_json_value value_of(dom::element element) {
    varve_json_value value{};
    switch (element.type()) {
        case dom::element_type::NULL_VALUE:
            value.type = varve_json_null;
            break;
        case dom::element_type::BOOL:
            value.type = varve_json_bool;
            value.integer = bool(element.get_bool().value_unsafe()) ? 1 : 0;
            break;
        case dom::element_type::INT64:
            value.type = varve_json_int64;
            value.integer = element.get_int64().value_unsafe();
            break;
        case dom::element_type::UINT64:
            value.type = varve_json_uint64;
            value.integer = int64_t(element.get_uint64().value_unsafe());
            break;
        case dom::element_type::DOUBLE:
            value.type = varve_json_double;
            break;
        case dom::element_type::STRING: {
            string_view text = element.get_string().value_unsafe();
            value.type = varve_json_string;
            value.text = reinterpret_cast<const uint8_t *>(text.data());
            value.length = text.size();
            break;
        }
        case dom::element_type::ARRAY:
            value.type = varve_json_array;
            break;
        case dom::element_type::OBJECT:
            value.type = varve_json_object;
            break;
    }
    return value;
}

}  // namespace

struct varve_json_parser {
    std::unique_ptr<dom::parser> parser;
    std::vector<uint8_t> copy;
    size_t depth = depth_max;
    size_t document_max = varve_json_document_max;
    // The document with its wide numbers blanked, when it was refused with them: they are JSON, but no number that simdjson
    // holds. It has the same members at the same places.
    std::vector<uint8_t> blanked;
    bool is_blanked = false;
    std::vector<Path> paths;  // The time paths, then the kind paths.
    std::vector<Found> found;  // For path i, its whole key at 2i and its first step at 2i + 1.
    uint64_t present = 0;      // Bit n: the line has found[n].
    std::vector<varve_json_value> times;
    size_t time_count = 0;
    std::vector<Wanted> wanted;  // The keys to look for, those of the same length class together.
    uint8_t first_wanted[length_classes + 1] = {};
    const uint8_t *bytes = nullptr;
    size_t length = 0;
    dom::element root;
    simdjson::error_code error = simdjson::EMPTY;
    dom::object members;
    dom::object::iterator next;

    bool parse(const uint8_t *source, size_t count, bool padded) noexcept {
        try {
            bytes = nullptr;
            length = 0;
            is_blanked = false;
            if (count > document_max) return fail(simdjson::CAPACITY);
            if (count == 0) return fail(simdjson::EMPTY);
            if (!parser || (parser->capacity() > capacity_kept && count <= line_small)) {
                // One huge line shall not hold its memory for the rest of the input.
                parser.reset();
                parser = std::make_unique<dom::parser>(document_max);
                copy = {};
                blanked = {};
            }
            if (parser->capacity() < count) {
                size_t capacity = 4096;
                while (capacity < count) capacity *= 2;
                if (capacity > document_max) capacity = document_max;
                if (auto code = parser->allocate(capacity, depth)) return fail(code);
            }
            if (!padded) {
                if (copy.size() < count + varve_json_padding) copy.resize((count + varve_json_padding) * 3 / 2);
                memcpy(copy.data(), source, count);
                memset(copy.data() + count, 0, varve_json_padding);
                source = copy.data();
            }
            error = parser->parse(source, count, false).get(root);
            if (error == simdjson::NUMBER_ERROR) {
                if (blanked.size() < count + varve_json_padding) blanked.resize((count + varve_json_padding) * 3 / 2);
                memcpy(blanked.data(), source, count);
                memset(blanked.data() + count, 0, varve_json_padding);
                is_blanked = blank_wide_numbers(blanked.data(), count);
                if (is_blanked) error = parser->parse(blanked.data(), count, false).get(root);
            }
            if (error) return false;
            bytes = source;
            length = count;
            return true;
        } catch (...) {
            parser.reset();
            return fail(simdjson::MEMALLOC);
        }
    }

    bool fail(simdjson::error_code code) noexcept {
        error = code;
        return false;
    }

    bool root_is_object() const { return error == simdjson::SUCCESS && bytes && root.is_object(); }

    // Gives a number its own text, and a wide one the type of those that have only that.
    void set_number_text(varve_json_value &value, const uint8_t *start) const {
        value.text = start;
        value.length = size_t(skip_value(start, bytes + length) - start);
        if (is_blanked && memcmp(start, blanked.data() + (start - bytes), value.length) != 0)
            value.type = varve_json_double;
    }

    // Whether the value's text is needed to know it.
    bool needs_text(const varve_json_value &value) const {
        return value.type == varve_json_double || (is_blanked && value.type == varve_json_int64);
    }

    bool add(const uint8_t *path, size_t count, bool time) noexcept {
        if (paths.size() >= varve_json_paths_max) return false;
        try {
            Path added;
            added.whole.assign(reinterpret_cast<const char *>(path), count);
            if (added.whole.find('.') != std::string::npos) {
                size_t start = 0;
                for (;;) {
                    size_t dot = added.whole.find('.', start);
                    if (dot == std::string::npos) break;
                    added.steps.push_back(added.whole.substr(start, dot - start));
                    start = dot + 1;
                }
                added.steps.push_back(added.whole.substr(start));
            }
            found.resize((paths.size() + 1) * 2);
            if (time) {
                times.resize(time_count + 1);
                paths.insert(paths.begin() + std::ptrdiff_t(time_count), std::move(added));
                ++time_count;
            } else {
                paths.push_back(std::move(added));
            }
            list_wanted();
            return true;
        } catch (...) {
            return false;
        }
    }

    void list_wanted() {
        std::vector<Wanted> listed;
        for (size_t length = 0; length < length_classes; ++length) {
            first_wanted[length] = uint8_t(listed.size());
            for (size_t i = 0; i < paths.size(); ++i) {
                const Path &path = paths[i];
                if (length_class(path.whole.size()) == length) listed.push_back({path.whole, uint8_t(2 * i)});
                if (!path.steps.empty() && length_class(path.steps[0].size()) == length)
                    listed.push_back({path.steps[0], uint8_t(2 * i + 1)});
            }
        }
        first_wanted[length_classes] = uint8_t(listed.size());
        wanted = std::move(listed);
    }

    // Whether the line has the whole key or the first step of path i.
    bool may_have(size_t i) const { return (present >> (2 * i) & 3) != 0; }

    // The value of path i, which the line may have, and the ordinals of the members that lead to it.
    bool resolve(size_t i, dom::element &element, uint32_t *ordinals, size_t &depth) {
        depth = 1;
        if (present >> (2 * i) & 1) {
            element = found[2 * i].element;
            ordinals[0] = found[2 * i].ordinal;
            return true;
        }
        element = found[2 * i + 1].element;
        ordinals[0] = found[2 * i + 1].ordinal;
        const auto &steps = paths[i].steps;
        for (size_t s = 1; s < steps.size(); ++s) {
            dom::object object;
            Found next;
            if (s >= depth_max || element.get_object().get(object)) return false;
            if (!find_member(object, steps[s], next)) return false;
            element = next.element;
            ordinals[depth++] = next.ordinal;
        }
        return true;
    }

    const uint8_t *start_of(const uint32_t *ordinals, size_t depth) const {
        const uint8_t *p = bytes;
        for (size_t i = 0; i < depth; ++i) p = member_value(p, bytes + length, ordinals[i]);
        return p;
    }
};

varve_json_parser *varve_json_parser_new(void) { return new (std::nothrow) varve_json_parser; }

varve_json_parser *varve_json_parser_new_deep(void) {
    auto *parser = varve_json_parser_new();
    if (parser) {
        parser->depth = depth_deep;
        parser->document_max = varve_json_document_deep_max;
    }
    return parser;
}

void varve_json_parser_free(varve_json_parser *parser) { delete parser; }

bool varve_json_add_time_path(varve_json_parser *parser, const uint8_t *path, size_t length) {
    return parser->add(path, length, true);
}

bool varve_json_add_kind_path(varve_json_parser *parser, const uint8_t *path, size_t length) {
    return parser->add(path, length, false);
}

varve_json_line varve_json_parse_line(varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded) {
    varve_json_line line{};
    line.kind_index = -1;
    line.times = parser->times.data();
    line.time_count = parser->time_count;
    line.valid = parser->parse(bytes, length, padded);
    for (auto &value : parser->times) value.type = varve_json_missing;
    dom::object object;
    if (!line.valid || parser->root.get_object().get(object)) return line;

    const size_t count = parser->paths.size();
    uint64_t present = 0;
    uint32_t ordinal = 0;
    const Wanted *const all = parser->wanted.data();
    for (auto it = object.begin(), last = object.end(); it != last; ++it, ++ordinal) {
        const size_t key_length = it.key_length();
        const size_t key_class = length_class(key_length);
        if (parser->first_wanted[key_class] == parser->first_wanted[key_class + 1]) continue;
        const char *key = it.key_c_str();
        for (size_t w = parser->first_wanted[key_class]; w < parser->first_wanted[key_class + 1]; ++w) {
            const Wanted &wanted = all[w];
            if (wanted.key.size() != key_length) continue;
            // The byte after a key is its end mark on both sides, so that the first can be compared of an empty key too.
            if (wanted.key.c_str()[0] != key[0] || memcmp(wanted.key.data(), key, key_length) != 0) continue;
            const uint64_t bit = uint64_t(1) << wanted.slot;
            if (present & bit) continue;
            present |= bit;
            parser->found[wanted.slot] = Found{it.value(), ordinal};
        }
    }
    parser->present = present;

    uint32_t ordinals[depth_deep];
    size_t depth = 0;
    dom::element element;
    for (size_t i = 0; i < parser->time_count; ++i) {
        if (!parser->may_have(i) || !parser->resolve(i, element, ordinals, depth)) continue;
        varve_json_value &value = parser->times[i];
        value = value_of(element);
        if (parser->needs_text(value)) parser->set_number_text(value, parser->start_of(ordinals, depth));
    }
    for (size_t i = parser->time_count; i < count; ++i) {
        if (!parser->may_have(i) || !parser->resolve(i, element, ordinals, depth)) continue;
        varve_json_value value = value_of(element);
        if (value.type == varve_json_int64 || value.type == varve_json_uint64 || value.type == varve_json_double) {
            parser->set_number_text(value, parser->start_of(ordinals, depth));
        } else if (value.type != varve_json_string) {
            continue;
        }
        line.kind_index = int32_t(i - parser->time_count);
        line.kind_text = value.text;
        line.kind_length = value.length;
        break;
    }
    return line;
}

varve_json_type varve_json_parse(varve_json_parser *parser, const uint8_t *bytes, size_t length) {
    if (!parser->parse(bytes, length, false)) return varve_json_missing;
    return value_of(parser->root).type;
}

const char *varve_json_error(const varve_json_parser *parser) { return simdjson::error_message(parser->error); }

bool varve_json_valid(varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded) {
    return parser->parse(bytes, length, padded);
}

static bool root_member(varve_json_parser *parser, const uint8_t *key, size_t length, Found &found) {
    if (!parser->root_is_object()) return false;
    return find_member(
        parser->root.get_object().value_unsafe(), string_view(reinterpret_cast<const char *>(key), length), found);
}

varve_json_value varve_json_member(varve_json_parser *parser, const uint8_t *key, size_t length) {
    Found found;
    if (!root_member(parser, key, length, found)) return varve_json_value{};
    varve_json_value value = value_of(found.element);
    if (parser->needs_text(value)) parser->set_number_text(value, parser->start_of(&found.ordinal, 1));
    return value;
}

bool varve_json_member_range(
    varve_json_parser *parser, const uint8_t *key, size_t length, size_t *start, size_t *end) {
    Found found;
    if (!root_member(parser, key, length, found)) return false;
    const uint8_t *first = parser->start_of(&found.ordinal, 1);
    *start = size_t(first - parser->bytes);
    *end = size_t(skip_value(first, parser->bytes + parser->length) - parser->bytes);
    return true;
}

varve_json_type varve_json_members_begin(varve_json_parser *parser, const uint8_t *key, size_t length) {
    Found found;
    parser->members = dom::object();
    if (!root_member(parser, key, length, found)) return varve_json_missing;
    const varve_json_type type = value_of(found.element).type;
    if (type == varve_json_object) {
        parser->members = found.element.get_object().value_unsafe();
        parser->next = parser->members.begin();
    }
    return type;
}

bool varve_json_members_next(
    varve_json_parser *parser, const uint8_t **key, size_t *length, varve_json_value *value) {
    if (parser->next == parser->members.end()) return false;
    *key = reinterpret_cast<const uint8_t *>(parser->next.key_c_str());
    *length = parser->next.key_length();
    *value = value_of(parser->next.value());
    ++parser->next;
    return true;
}

// The parser's own form of a value's place, and of a place among an object's members, is two words without any ownership.
static_assert(sizeof(dom::element) == 16 && std::is_trivially_copyable<dom::element>::value, "");
static_assert(sizeof(dom::object::iterator) == 16 && std::is_trivially_copyable<dom::object::iterator>::value, "");

static void set_part(const varve_json_parser *parser, dom::element element, const uint8_t *start, varve_json_part *part) {
    part->value = value_of(element);
    part->start = size_t(start - parser->bytes);
    part->end = size_t(skip_value(start, parser->bytes + parser->length) - parser->bytes);
    if (parser->is_blanked && part->value.type == varve_json_int64 &&
        memcmp(start, parser->blanked.data() + part->start, part->end - part->start) != 0)
        part->value.type = varve_json_double;
    memcpy(part->place, &element, sizeof element);
}

bool varve_json_parse_root(
    varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded, varve_json_part *root) {
    if (!parser->parse(bytes, length, padded)) return false;
    *root = varve_json_part{};
    set_part(parser, parser->root, skip_space(parser->bytes, parser->bytes + parser->length), root);
    return true;
}

void varve_json_walk_begin(const varve_json_part *object, varve_json_walk *walk) {
    *walk = varve_json_walk{};
    if (object->value.type != varve_json_object) return;
    dom::element element;
    memcpy(static_cast<void *>(&element), object->place, sizeof element);
    const dom::object members = element.get_object().value_unsafe();
    const dom::object::iterator next = members.begin();
    const dom::object::iterator last = members.end();
    memcpy(walk->next, &next, sizeof next);
    memcpy(walk->last, &last, sizeof last);
    walk->position = object->start + 1;
}

bool varve_json_walk_next(const varve_json_parser *parser, varve_json_walk *walk, varve_json_part *member) {
    if (walk->next[0] == walk->last[0] && walk->next[1] == walk->last[1]) return false;
    dom::object::iterator next;
    memcpy(static_cast<void *>(&next), walk->next, sizeof next);
    // The text is walked along with the parser's own form, which does not know where values stand.
    const uint8_t *const end = parser->bytes + parser->length;
    const uint8_t *p = skip_space(parser->bytes + walk->position, end);
    member->key = reinterpret_cast<const uint8_t *>(next.key_c_str());
    member->key_length = next.key_length();
    member->key_start = size_t(p - parser->bytes);
    p = skip_space(skip_string(p, end), end);
    if (p < end) ++p;  // The colon.
    set_part(parser, next.value(), skip_space(p, end), member);
    p = skip_space(parser->bytes + member->end, end);
    if (p < end) ++p;  // The comma, or the closing brace.
    walk->position = size_t(p - parser->bytes);
    ++next;
    memcpy(walk->next, &next, sizeof next);
    return true;
}

// Makes w of the numbers that have a fraction or an exponent or are no whole number of 64 bits. Numbers stand in the same order in
// the words and in the text.
static void locate_wide_numbers(varve_json_parser *parser) {
    uint64_t *const words = parser->parser->doc.tape.get();
    const uint8_t *p = parser->bytes;
    const uint8_t *const end = p + parser->length;
    const size_t last = size_t(words[0] & 0x00FFFFFFFFFFFFFF);
    for (size_t index = 1; index < last;) {
        const uint8_t tag = varve_json_tag(words, index);
        if (tag != 'l' && tag != 'u' && tag != 'd' && tag != 'w') {
            ++index;
            continue;
        }
        while (p < end && *p != '-' && !is_digit(*p)) p = *p == '"' ? skip_string(p, end) : p + 1;
        if (p == end) return;
        bool wide = false;
        const uint8_t *past = skip_number(p, end, wide);
        if (!past) return;
        if (wide) {
            words[index] = uint64_t('w') << 56 | uint64_t(p - parser->bytes);
            words[index + 1] = uint64_t(past - p);
        }
        p = past;
        index += 2;
    }
}

bool varve_json_parse_tape(
    varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded, varve_json_tape *tape) {
    if (!parser->parse(bytes, length, padded)) return false;
    if (parser->is_blanked) locate_wide_numbers(parser);
    const dom::document &document = parser->parser->doc;
    *tape = varve_json_tape{document.tape.get(), document.string_buf.get(), parser->bytes};
    return true;
}

void varve_json_locate_decimals(varve_json_parser *parser) {
    if (parser->bytes && !parser->is_blanked) locate_wide_numbers(parser);
}

size_t varve_json_last_member(const varve_json_tape *tape, size_t object, const uint8_t *key, size_t length) {
    const uint64_t *const words = tape->words;
    if (varve_json_tag(words, object) != '{') return 0;
    size_t found = 0;
    // The closing bracket is the word before the index after the object.
    const size_t last = varve_json_after(words, object) - 1;
    for (size_t index = object + 1; index < last;) {
        const uint8_t *text = tape->strings + (words[index] & 0x00FFFFFFFFFFFFFF);
        uint32_t count;
        memcpy(&count, text, sizeof count);
        if (count == length && memcmp(text + sizeof count, key, length) == 0) found = index + 1;
        index = varve_json_after(words, index + 1);
    }
    return found;
}

size_t varve_json_too_deep(const uint8_t *bytes, size_t length, size_t depth_max) {
    const uint8_t *const end = bytes + length;
    size_t depth = 0;
    for (const uint8_t *p = bytes; p < end;) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[') {
            if (depth == depth_max) return size_t(p - bytes);
            ++depth;
        } else if ((*p == '}' || *p == ']') && depth > 0) {
            --depth;
        }
        ++p;
    }
    return length;
}

bool varve_json_utf8(const uint8_t *bytes, size_t length) {
    return simdjson::validate_utf8(reinterpret_cast<const char *>(bytes), length);
}
