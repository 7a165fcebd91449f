package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
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

// The sinks of appgovd.hcl that are commented out are as valid as the others.
func TestTheSinksThatAreCommentedOutAreValid(t *testing.T) {
	text, err := os.ReadFile("../../configs/appgovd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var sinks []byte
	found := regexp.MustCompile(`(?ms)^# sink ".*?^# }$`).FindAll(text, -1)
	for _, block := range found {
		sinks = append(sinks, regexp.MustCompile(`(?m)^# `).ReplaceAll(append(block, '\n'), nil)...)
	}
	file := filepath.Join(t.TempDir(), "sinks.hcl")
	if err := os.WriteFile(file, sinks, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"check", file}, &out, &errs); code != 0 || len(found) != 11 {
		t.Errorf("exit code %d, %d blocks\n%s%s", code, len(found), &out, &errs)
	}
}
