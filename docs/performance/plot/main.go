package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes what belongs beside and above the recorded output in dir.
func run(dir string) error {
	files, err := everything(dir)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// everything makes the files, by their names as seen from dir.
func everything(dir string) (map[string][]byte, error) {
	recorded, err := readResults(filepath.Join(dir, "bench.txt"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, p := range plots {
		for _, look := range looks {
			if files[p.file+look.suffix+".svg"], err = p.draw(recorded, look); err != nil {
				return nil, fmt.Errorf("%s: %w", p.file, err)
			}
		}
	}
	const page = "../performance.md"
	text, err := os.ReadFile(filepath.Join(dir, page))
	if err != nil {
		return nil, err
	}
	table, err := tableOf(recorded, bars)
	if err != nil {
		return nil, err
	}
	for name, part := range map[string]string{"machine": recorded.machine(), "bars": table} {
		if text, err = replacePart(text, name, part); err != nil {
			return nil, err
		}
	}
	files[page] = text
	return files, nil
}
