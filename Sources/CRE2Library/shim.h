/* RE2 is C++: CRE2 includes it, Swift never does. */
