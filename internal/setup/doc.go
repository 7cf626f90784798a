// Package setup is what this project's programs share: their configuration file,
// and the address of their console.
package setup
