#include "CRE2.h"

#include <re2/filtered_re2.h>
#include <re2/re2.h>

#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

// Shorter ones are in almost every payload.
constexpr int atom_min = 3;
// Beyond these RE2 takes seconds to find the atoms, in time that is quadratic in their number.
constexpr size_t filtered_length_max = 4096;
constexpr size_t filtered_alternatives_max = 256;

bool is_filtered(const re2::StringPiece &pattern) {
    if (pattern.size() > filtered_length_max) return false;
    size_t alternatives = 1;
    for (char byte : pattern) alternatives += byte == '|';
    return alternatives <= filtered_alternatives_max;
}

re2::RE2::Options options_for(bool ignoring_case) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(varve_re2_memory_max);
    options.set_case_sensitive(!ignoring_case);
    // Where a match lies is never asked.
    options.set_never_capture(true);
    return options;
}

}  // namespace

struct varve_re2 {
    varve_re2(const re2::StringPiece &pattern, bool ignoring_case)
        : expression(pattern, options_for(ignoring_case)), filter(atom_min) {
        if (!expression.ok() || !is_filtered(pattern)) return;
        int id;
        if (filter.Add(pattern, options_for(ignoring_case), &id) != re2::RE2::NoError) return;
        filter.Compile(&atoms);
        // A pattern that may match without any of them has none that help.
        std::vector<int> possible;
        filter.AllPotentials({}, &possible);
        if (!possible.empty()) atoms.clear();
    }

    re2::RE2 expression;
    re2::FilteredRE2 filter;
    std::vector<std::string> atoms;
};

varve_re2 *varve_re2_new(const uint8_t *pattern, size_t length, bool ignoring_case) {
    try {
        return new varve_re2(re2::StringPiece(reinterpret_cast<const char *>(pattern), length), ignoring_case);
    } catch (...) {
        return nullptr;
    }
}

void varve_re2_free(varve_re2 *expression) { delete expression; }

const char *varve_re2_error(const varve_re2 *expression) {
    return expression->expression.ok() ? nullptr : expression->expression.error().c_str();
}

bool varve_re2_is_too_large(const varve_re2 *expression) {
    const auto code = expression->expression.error_code();
    return code == re2::RE2::ErrorPatternTooLarge || code == re2::RE2::ErrorRepeatSize;
}

bool varve_re2_found(const varve_re2 *expression, const uint8_t *bytes, size_t length) {
    try {
        const re2::StringPiece text(reinterpret_cast<const char *>(bytes), length);
        return expression->expression.Match(text, 0, length, re2::RE2::UNANCHORED, nullptr, 0);
    } catch (...) {
        std::terminate();
    }
}

size_t varve_re2_atom_count(const varve_re2 *expression) { return expression->atoms.size(); }

const uint8_t *varve_re2_atom(const varve_re2 *expression, size_t index, size_t *length) {
    *length = expression->atoms[index].size();
    return reinterpret_cast<const uint8_t *>(expression->atoms[index].data());
}

bool varve_re2_possible(const varve_re2 *expression, const int32_t *atoms, size_t count) {
    if (expression->atoms.empty()) return true;
    try {
        std::vector<int> possible;
        expression->filter.AllPotentials(std::vector<int>(atoms, atoms + count), &possible);
        return !possible.empty();
    } catch (...) {
        std::terminate();
    }
}
