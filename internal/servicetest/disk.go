package servicetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is an ext4 file system of its own, whose power a test can cut. It needs root and loop devices: elsewhere the
// test is skipped, even with CI=true, for no package can provide them.
type Disk struct {
	Dir    string // where it is mounted
	device string
}

// NewDisk makes a disk of so many MiB; it is gone when the test ends.
func NewDisk(t testing.TB, mib int64) *Disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount a file system to cut the power of")
	}
	dir := newDir(t, "disk")
	d := &Disk{Dir: filepath.Join(dir, "m")}
	image := writeFile(t, filepath.Join(dir, "image"), "")
	if err := os.Truncate(image, mib<<20); err != nil {
		t.Fatalf("make image: %v", err)
	}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatalf("make mount point: %v", err)
	}
	if out, err := exec.Command(Program(t, "mkfs.ext4"), "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("make file system: %v: %s", err, out)
	}
	losetup := Program(t, "losetup")
	out, err := exec.Command(losetup, "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: no loop device: %v: %s", err, out)
	}
	d.device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		_ = unix.Unmount(d.Dir, unix.MNT_DETACH)
		if out, err := exec.Command(losetup, "--detach", d.device).CombinedOutput(); err != nil {
			t.Logf("detach %s: %v: %s", d.device, err, out)
		}
	})
	d.mount(t)
	return d
}

func (d *Disk) mount(t testing.TB) {
	t.Helper()
	if err := unix.Mount(d.device, d.Dir, "ext4", 0, ""); err != nil {
		t.Fatalf("mount %s: %v", d.device, err)
	}
}

// Cut cuts the power: nothing reaches the disk any more, not even what the journal holds in memory, and every
// operation on it fails. Processes that use it live on.
func (d *Disk) Cut(t testing.TB) {
	t.Helper()
	const ext4Shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	f, err := os.Open(d.Dir)
	if err != nil {
		t.Fatalf("cut power: %v", err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush); err != nil {
		t.Fatalf("cut power: %v", err)
	}
}

// Flush writes to the disk what lies in memory at the moment, synced or not, as the kernel does by itself from time to
// time.
func (d *Disk) Flush(t testing.TB) {
	t.Helper()
	f, err := os.Open(d.Dir)
	if err != nil {
		t.Fatalf("flush disk: %v", err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatalf("flush disk: %v", err)
	}
}

// Restore mounts what reached the disk before the cut. Nobody may use the disk when it is called.
func (d *Disk) Restore(t testing.TB) {
	t.Helper()
	if err := unix.Unmount(d.Dir, 0); err != nil {
		t.Fatalf("unmount %s: %v", d.Dir, err)
	}
	d.mount(t)
}

// NewTmpfs mounts a file system in memory of so many MiB, to be filled to the brim; it is gone when the test ends. Not
// being root skips the test.
func NewTmpfs(t testing.TB, mib string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can mount a small file system")
	}
	dir := filepath.Join(newDir(t, "tmpfs"), "m")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatalf("make mount point: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+mib); err != nil {
		t.Skipf("SKIPPED: cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}
