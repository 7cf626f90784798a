// Command goproxy lays out the modules of a checkout as a file GOPROXY, as if
// they had been tagged:
//
//	go run .ci/goproxy/main.go -version v0.1.0 <checkout> <directory>
//
// Then GOPROXY=file://<directory> shows what a stranger will get: nested modules
// without the checkout's go.work, and without what git does not keep.
package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

func main() {
	version := flag.String("version", "v0.1.0", "the `tag` to pretend")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: goproxy [-version v0.1.0] <checkout> <directory>")
		os.Exit(2)
	}
	if err := publish(flag.Arg(0), flag.Arg(1), *version); err != nil {
		fmt.Fprintln(os.Stderr, "goproxy:", err)
		os.Exit(1)
	}
}

// publish writes every module of the checkout.
func publish(checkout, directory, version string) error {
	files, err := trackedFiles(checkout)
	if err != nil {
		return err
	}
	var roots []string // the modules' folders, "" for the checkout's own
	for _, file := range files {
		if path.Base(file) == "go.mod" && !strings.Contains(file, "testdata/") {
			roots = append(roots, strings.TrimSuffix(strings.TrimSuffix(file, "go.mod"), "/"))
		}
	}
	for _, root := range roots {
		if err := publishModule(checkout, directory, version, root, members(files, roots, root)); err != nil {
			return fmt.Errorf("module in ./%s: %w", root, err)
		}
	}
	return nil
}

// trackedFiles lists what git would commit.
func trackedFiles(checkout string) ([]string, error) {
	command := exec.Command("git", "-C", checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []string
	for file := range strings.SplitSeq(strings.TrimRight(string(output), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(checkout, file)); err == nil && info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// members returns the files of the module at root: those below it that are in
// no module nested in it.
func members(files, roots []string, root string) []string {
	var found []string
	for _, file := range files {
		owner := ""
		for _, candidate := range roots {
			if (candidate == "" || strings.HasPrefix(file, candidate+"/")) && len(candidate) >= len(owner) {
				owner = candidate
			}
		}
		if owner == root {
			found = append(found, file)
		}
	}
	return found
}

// publishModule writes <directory>/<module>/@v/: list, info, mod and zip.
func publishModule(checkout, directory, version, root string, files []string) error {
	goMod, err := os.ReadFile(filepath.Join(checkout, root, "go.mod"))
	if err != nil {
		return err
	}
	name, err := moduleName(goMod)
	if err != nil {
		return err
	}
	versions := filepath.Join(directory, filepath.FromSlash(escape(name)), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]string{"Version": version, "Time": time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": goMod} {
		if err := os.WriteFile(filepath.Join(versions, file), content, 0o644); err != nil {
			return err
		}
	}
	return writeZip(filepath.Join(versions, version+".zip"), name+"@"+version, checkout, root, files)
}

func writeZip(target, prefix, checkout, root string, files []string) (err error) {
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	archive := zip.NewWriter(out)
	hasLicence := false
	add := func(from, to string) error {
		content, err := os.ReadFile(filepath.Join(checkout, from))
		if err != nil {
			return err
		}
		entry, err := archive.Create(prefix + "/" + to)
		if err != nil {
			return err
		}
		_, err = entry.Write(content)
		return err
	}
	for _, file := range files {
		inside := strings.TrimPrefix(strings.TrimPrefix(file, root), "/")
		hasLicence = hasLicence || inside == "LICENSE"
		if err := add(file, inside); err != nil {
			return err
		}
	}
	if !hasLicence { // the go command takes the repository's for a nested module
		if err := add("LICENSE", "LICENSE"); err != nil {
			return err
		}
	}
	return archive.Close()
}

func moduleName(goMod []byte) (string, error) {
	for line := range strings.Lines(string(goMod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("go.mod without a module line")
}

// escape writes a module's name as proxies do, with an exclamation mark before
// the lower case of each capital.
func escape(name string) string {
	var escaped strings.Builder
	for _, c := range name {
		if unicode.IsUpper(c) {
			escaped.WriteByte('!')
		}
		escaped.WriteRune(unicode.ToLower(c))
	}
	return escaped.String()
}
