// Package archtest holds the rules about who may import whom, as a test over what the go command knows. The table in
// rules_test.go is the architecture; the test fails with the chain of imports that broke it.
package archtest
