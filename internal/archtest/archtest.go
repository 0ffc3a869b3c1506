// Package archtest holds the rules about the source that a test can check: which folder may import which, how large
// things grow, and that every package says what it is for. It contains tests only.
//
// The import rule is the map mayImport in imports_test.go. Placing a package is a written decision: a folder without a
// line there fails the test.
package archtest
