package main

// Certificate authorities for where the system has none, as in an image of this program alone. Those of the system are used
// if there are any.
import _ "golang.org/x/crypto/x509roots/fallback"
