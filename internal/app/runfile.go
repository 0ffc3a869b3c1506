package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// RunFile is what run.json in the data directory says of the process that uses it. It is written once everything
// answers and removed at a clean stop.
type RunFile struct {
	PID       int               `json:"pid"`
	Version   string            `json:"version"`
	ClusterID string            `json:"cluster_id"`
	Addresses map[string]string `json:"addresses"`
}

const runFileName = "run.json"

// write puts the file in its place by a rename, so that a reader never sees half of it. The directory is made where services without a
// broker keep nothing else in it.
func (r RunFile) write(dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode %s: %w", runFileName, err)
	}
	path := filepath.Join(dir, runFileName)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("write %s: %w", runFileName, err)
	}
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", runFileName, err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write %s: %w", runFileName, err)
	}
	return nil
}

func removeRunFile(dir string) error {
	if err := os.Remove(filepath.Join(dir, runFileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", runFileName, err)
	}
	return nil
}

// ReadRunFile returns what the run file of a data directory says.
func ReadRunFile(dir string) (RunFile, error) {
	var r RunFile
	b, err := os.ReadFile(filepath.Join(dir, runFileName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", runFileName, err)
	}
	return r, nil
}
