// Package fetch downloads a file over HTTP: checked against its hash, taken up after a cut, in place only when whole.
//
// Start with [Client.File]. What fails is an [Error], whose [Reason] tells whose fault it is.
package fetch
