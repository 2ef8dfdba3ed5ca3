// Package images holds the pipelines of our own programs' container images. scripts/images.sh builds them with our own builder;
// the test holds what comes out.
package images
