// Package environ reads secrets from the environment, or from the files that it
// names, for packages and programs alike.
package environ

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret is the longest file of a secret, in bytes: a longer one is another
// file by mistake.
const maxSecret = 64 << 10

// Secret reads the environment variable called name, or the file that the
// variable name_FILE names, without white space around it. It is empty if
// neither is set. Its errors name the variable and never what it holds: both are
// set, or the file cannot be read, is empty or is longer than 64 KiB.
func Secret(env func(string) string, name string) (string, error) {
	value, path := env(name), env(name+"_FILE")
	switch {
	case value != "" && path != "":
		return "", fmt.Errorf("%s and %s_FILE exclude each other", name, name)
	case path == "":
		return strings.TrimSpace(value), nil
	}
	value, err := readSmall(path)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return value, nil
}

func readSmall(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // it was read
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	// A byte order mark is an editor's, and no part of the secret.
	text := strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff"))
	switch {
	case err != nil:
		return "", err
	case len(content) > maxSecret:
		return "", fmt.Errorf("the file is longer than %d bytes", maxSecret)
	case text == "":
		return "", errors.New("the file is empty")
	}
	return text, nil
}

// Password is [Secret] for a password of at least so many characters, or none.
func Password(env func(string) string, name string, least int) (string, error) {
	password, err := Secret(env, name)
	if err == nil && password != "" && len([]rune(password)) < least {
		return "", fmt.Errorf("the password of %s has to have at least %d characters", name, least)
	}
	return password, err
}
