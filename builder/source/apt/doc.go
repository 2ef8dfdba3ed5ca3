// Package apt is the source for Debian packages: those named, with what they depend on, for any architecture that the
// mirrors serve. It needs apt-get, but neither root, nor a change to the machine's own package state, nor the other
// architecture's machine or emulator.
//
// apt-get resolves, because nobody else resolves as it does: in a private state of its own for each architecture, as
// if nothing were installed. The packages are then fetched and unpacked by pitcrew, each once, whichever platforms and
// builds ask for it: a package of "Architecture: all" gives the same tree everywhere.
//
// What a tree holds and what not:
//
//   - Files, links and folders of all packages. Directories of several packages coincide. A file of two packages is
//     an error unless both are equal or one package declares that it replaces the other.
//   - No maintainer script is run and no trigger fires: users are not made, ldconfig, update-alternatives and debconf
//     are not called, and configuration that scripts write is missing. A dynamic linker finds libraries in Debian's
//     directories without a cache.
//   - For scanners, var/lib/dpkg/status.d/NAME and NAME.md5sums, as distroless images have them.
//   - With [Options.UsrMerge], bin, sbin and lib* are links into usr, and what packages put there is moved.
//   - Owners and permissions are the packages' own, without setuid and setgid bits.
package apt
