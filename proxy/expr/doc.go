// Package expr compiles and evaluates the conditions that people write in CEL, the Common Expression Language.
//
// An expression decides about requests, so it must end soon whatever a caller sends, and whoever wrote it: the language is
// cut down to testing values. There is no macro that builds lists, no list or map of what a macro iterates over and no
// regular expression that is not a literal, so that no value grows faster than what it costs; what an evaluation costs is
// counted over all values and bounded by MaxCost. There is no function that depends on anything but the variables.
package expr
