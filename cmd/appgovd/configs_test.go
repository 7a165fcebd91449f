package main

import (
	"bytes"
	"path/filepath"
	"testing"
)

func TestEveryExampleConfigurationIsValid(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.hcl")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run([]string{"check", f}, &out, &errs); code != 0 || bytes.Contains(out.Bytes(), []byte("warning")) {
				t.Errorf("exit code %d\n%s%s", code, &out, &errs)
			}
		})
	}
}
