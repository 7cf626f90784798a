// Package setup is what this project's programs share: their configuration
// file, the secrets of their environment, and the address of their console.
package setup
