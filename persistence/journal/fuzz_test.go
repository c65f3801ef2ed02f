package journal

import (
	"bytes"
	"testing"
)

// FuzzUnpack gives it any packed value, and packs any plain one.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{packRaw, 'x'})
	f.Add([]byte{packFlate, 1, 2, 3})
	f.Add([]byte{9})
	f.Add(pack(bytes.Repeat([]byte("state "), 500)))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = unpack(data) // an error, or a value; never a panic
		plain, err := unpack(pack(data))
		if err != nil || !bytes.Equal(plain, data) {
			t.Errorf("%d bytes came back as %d: %v", len(data), len(plain), err)
		}
	})
}
