// Package auth proves to registries who asks: it finds credentials ([Credentials]), understands what a registry wants
// ([ParseChallenges]), and keeps what it was granted until that expires ([Authorizer]).
//
// A credential goes to the host that it was stored for, and to the token server that this very host names, over a
// connection no worse than the host's own; nowhere else. A token is asked for with the one right to pull the one
// repository, whatever the registry suggests.
package auth
