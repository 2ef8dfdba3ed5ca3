package image

// Flatten lays layers over each other.
var Flatten = flatten
