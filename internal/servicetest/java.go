package servicetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// javaHome is the folder of an installed Java of at least the major version lowest: the one on the path, that of
// JAVA_HOME, or the first of those below /usr/lib/jvm. The test ends here when there is none for the server of that name. services.sh looks in the
// same places.
func javaHome(t testing.TB, name string, lowest int) string {
	t.Helper()
	installed, err := filepath.Glob("/usr/lib/jvm/*")
	if err != nil {
		t.Fatalf("look for Java: %v", err)
	}
	slices.Sort(installed)
	for _, home := range slices.Concat(javaOnPath(), []string{os.Getenv("JAVA_HOME")}, installed) {
		if home != "" && javaMajor(home) >= lowest {
			return home
		}
	}
	unavailable(t, fmt.Sprintf("%s needs Java %d or newer, on the path, in JAVA_HOME or below /usr/lib/jvm", name, lowest))
	return ""
}

func javaOnPath() []string {
	path, err := exec.LookPath("java")
	if err != nil {
		return nil
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil
	}
	return []string{filepath.Dir(filepath.Dir(path))}
}

// javaVersion is in the file release of every JDK and JRE since 9.
var javaVersion = regexp.MustCompile(`(?m)^JAVA_VERSION="(\d+)`)

// javaMajor is the major version of the Java in home, 0 when there is none that runs.
func javaMajor(home string) int {
	if _, err := exec.LookPath(filepath.Join(home, "bin", "java")); err != nil {
		return 0
	}
	release, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return 0
	}
	found := javaVersion.FindSubmatch(release)
	if found == nil {
		return 0
	}
	major, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 0
	}
	return major
}
