// Package cli is what the command lines share. [Main] runs a cobra command: it gives every flag an environment
// variable, adds --log-level, --log-format and --version, cancels the context on SIGINT and SIGTERM, and turns an error
// into a line, a hint and an exit code. [Log] is the logger that the flags ask for.
//
// Exit codes: 0 done, 1 failed, 2 a wrong command line, otherwise what the error's ExitCode method says; 128 and the
// signal's number if a signal ended the command.
package cli
