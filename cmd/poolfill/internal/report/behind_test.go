package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBehindWritesAllInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	rapid.Check(t, func(t *rapid.T) {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		b := writeBehind(f)
		var want []byte
		for i, size := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 100, behindBuffer - 1, behindBuffer, behindBuffer + 1, 7 * behindBuffer}), 0, 12).Draw(t, "sizes") {
			line := bytes.Repeat([]byte{byte('a' + i)}, size)
			want = append(want, line...)
			if rapid.Bool().Draw(t, "in place") {
				line = append(b.AvailableBuffer(), line...)
			}
			if n, err := b.Write(line); n != size || err != nil {
				t.Fatalf("Write gives %d, %v", n, err)
			}
			if cap(b.buf) > behindBuffer {
				t.Fatalf("after %d bytes a buffer has %d", size, cap(b.buf))
			}
		}
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes are there of %d, %v", len(got), len(want), err)
		}
	})
}

// What can't be written is told, at the latest by stop, and again by each call after.
func TestBehindTellsThatItCannotWrite(t *testing.T) {
	for _, writes := range []int{1, 2, 100} {
		f, err := os.Open(os.DevNull) // only for reading
		if err != nil {
			t.Fatal(err)
		}
		b := writeBehind(f)
		for range writes {
			if _, err = b.Write(make([]byte, behindBuffer)); err != nil {
				break
			}
		}
		if writes == 100 && err == nil {
			t.Error("100 buffers are taken though none can be written")
		}
		for range 2 {
			if b.stop() == nil {
				t.Errorf("after %d writes to a file that can only be read there is no error", writes)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
