// Package charts holds the tests of the repository's Helm charts: their values, what they render, and their life in a real
// API server. It is a module of its own, so that Helm and Prometheus do not reach the products.
//
// testdata has what the defaults render, and for each switch what it changes; go test -update writes them anew.
package charts
