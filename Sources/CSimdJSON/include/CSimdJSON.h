#pragma once
// A C face over simdjson's DOM parser. No call lets an exception out, and none reads past the bytes it is given except
// where `padded` says that varve_json_padding more of them are readable.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    varve_json_padding = 64,
    // The longest document that is parsed: the longest line, and room for the record around it.
    varve_json_document_max = (64 << 20) + 4096,
    // The longest one of a deep parser: the longest payload as a string of which every byte is escaped with six, and room
    // for the record around it.
    varve_json_document_deep_max = 6 * (64 << 20) + (1 << 20),
    varve_json_paths_max = 32,
};

typedef enum {
    varve_json_missing = 0,
    varve_json_null,
    varve_json_bool,
    varve_json_int64,
    varve_json_uint64,
    varve_json_double,
    varve_json_string,
    varve_json_array,
    varve_json_object,
} varve_json_type;

typedef struct {
    varve_json_type type;
    // The value of a boolean, an int64 or (as its bits) a uint64.
    int64_t integer;
    // Decoded bytes of a string; the number's own text for a double. Valid until the parser's next document.
    const uint8_t *text;
    size_t length;
} varve_json_value;

typedef struct {
    bool valid;
    // Index of the path that gave the kind, or -1.
    int32_t kind_index;
    const uint8_t *kind_text;
    size_t kind_length;
    // One for each time path, in order.
    const varve_json_value *times;
    size_t time_count;
} varve_json_line;

typedef struct varve_json_parser varve_json_parser;

// Null when there is no memory.
varve_json_parser *varve_json_parser_new(void);
// For lines that carry a document of the usual depth a few levels down.
varve_json_parser *varve_json_parser_new_deep(void);
void varve_json_parser_free(varve_json_parser *parser);

// Adds a path to look for in each line; false when there are too many, or no memory.
bool varve_json_add_time_path(varve_json_parser *parser, const uint8_t *path, size_t length);
bool varve_json_add_kind_path(varve_json_parser *parser, const uint8_t *path, size_t length);

// Parses one line and finds its time and kind values.
varve_json_line varve_json_parse_line(varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded);

// Parses one document and keeps it for the calls below: its root's type, or varve_json_missing when it isn't valid JSON;
// then varve_json_error says why. Copies the bytes.
varve_json_type varve_json_parse(varve_json_parser *parser, const uint8_t *bytes, size_t length);
const char *varve_json_error(const varve_json_parser *parser);

// Whether the bytes are one valid document.
bool varve_json_valid(varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded);

// The first member of the root object with this key.
varve_json_value varve_json_member(varve_json_parser *parser, const uint8_t *key, size_t length);
// Where the member's value stands in the document's bytes; false when it is missing.
bool varve_json_member_range(
    varve_json_parser *parser, const uint8_t *key, size_t length, size_t *start, size_t *end);
// Walks the members of the object under this key: begin gives the value's type, next is false at the end.
varve_json_type varve_json_members_begin(varve_json_parser *parser, const uint8_t *key, size_t length);
bool varve_json_members_next(
    varve_json_parser *parser, const uint8_t **key, size_t *length, varve_json_value *value);

// A value of the document at hand and where it stands in its bytes; of a member also its key. Valid until the parser's next
// document, which the bytes of a padded one must outlive.
typedef struct {
    // A number whose text is needed has none here: it is at start.
    varve_json_value value;
    size_t start;
    size_t end;
    // Decoded; null for the root.
    const uint8_t *key;
    size_t key_length;
    // Where the key's opening quote stands.
    size_t key_start;
    // Where the value stands in the parser's own form.
    uint64_t place[2];
} varve_json_part;

// The members of an object that are still to come.
typedef struct {
    uint64_t next[2];
    uint64_t last[2];
    size_t position;
} varve_json_walk;

// Parses one document and gives its root; false when it isn't valid JSON: then varve_json_error says why. Does not copy
// padded bytes.
bool varve_json_parse_root(
    varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded, varve_json_part *root);
// Walks all members of an object in their order, those with the same key too. Linear in the object's text.
void varve_json_walk_begin(const varve_json_part *object, varve_json_walk *walk);
bool varve_json_walk_next(const varve_json_parser *parser, varve_json_walk *walk, varve_json_part *member);

// A document as the parser's own words, for walking it without a call for each value. simdjson documents the form as its tape.
//
// A value begins at the index of a word, whose first byte (the highest) says what it is: `{ [ " l u d t f n`, as the first
// character of JSON has it, and l, u and d for numbers that are signed, unsigned and decimal. A number's value is the word that
// follows. A string's word has the place of its length (four bytes) in `strings`, and its bytes after that. In an object keys
// and values alternate, and a bracket ends it; the low half of an opening bracket's word is the index after its end.
// w is ours: a number that is known by its text, which begins at the offset in its word and is as long as the next word says.
typedef struct {
    // The root is at index 1, so that 0 can stand for no value.
    const uint64_t *words;
    const uint8_t *strings;
    // The document, and the padding after it where it was copied.
    const uint8_t *bytes;
} varve_json_tape;

// Parses one document; false when it isn't valid JSON. The tape is valid until the parser's next document, which the bytes of a
// padded one must outlive. Numbers that are no number of 64 bits are w.
bool varve_json_parse_tape(
    varve_json_parser *parser, const uint8_t *bytes, size_t length, bool padded, varve_json_tape *tape);
// Makes w of all decimals of the document at hand: for those who want more than a double keeps. Linear.
void varve_json_locate_decimals(varve_json_parser *parser);

// What the value at an index is.
static inline uint8_t varve_json_tag(const uint64_t *words, size_t index) { return (uint8_t)(words[index] >> 56); }

// The index after the value at an index.
static inline size_t varve_json_after(const uint64_t *words, size_t index) {
    switch (words[index] >> 56) {
        case '{':
        case '[':
            return (uint32_t)words[index];
        case 'l':
        case 'u':
        case 'd':
        case 'w':
            return index + 2;
        default:
            return index + 1;
    }
}

// The index of the value of an object's last member with this key; 0 when there is none, or no object.
size_t varve_json_last_member(const varve_json_tape *tape, size_t object, const uint8_t *key, size_t length);

// Where the first bracket stands that opens a level beyond depth_max; the length when there is none. Of any bytes.
size_t varve_json_too_deep(const uint8_t *bytes, size_t length, size_t depth_max);

bool varve_json_utf8(const uint8_t *bytes, size_t length);

#ifdef __cplusplus
}
#endif
