// Package archtest holds the rules about who may import whom, as a test.
package archtest
