package journal

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A packed value starts with one byte that says how the rest is written; then it is sealed. Nothing is compressed after sealing,
// where it could not shrink any more.
const (
	packRaw   = 0
	packFlate = 1
)

const (
	// packAbove is the size from which compressing is worth its 20 us.
	packAbove = 512
	// maxUnpacked bounds what is read back into memory: terraform's largest states have tens of megabytes.
	maxUnpacked = 1 << 30
)

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		return nil
	}
	return w
}}

// pack compresses plain where that helps.
func pack(plain []byte) []byte {
	if len(plain) > packAbove {
		if w, ok := deflaters.Get().(*flate.Writer); ok {
			defer deflaters.Put(w)
			out := bytes.NewBuffer(make([]byte, 0, len(plain)/2))
			out.WriteByte(packFlate)
			w.Reset(out)
			_, err := w.Write(plain)
			if err == nil && w.Close() == nil && out.Len() < len(plain) {
				return out.Bytes()
			}
		}
	}
	return append([]byte{packRaw}, plain...)
}

func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errors.New("packed value: it is empty")
	}
	switch packed[0] {
	case packRaw:
		return packed[1:], nil
	case packFlate:
		r := flate.NewReader(bytes.NewReader(packed[1:]))
		out, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
		if err != nil {
			return nil, fmt.Errorf("packed value: %w", err)
		}
		if len(out) > maxUnpacked {
			return nil, fmt.Errorf("packed value: it is larger than %d bytes", maxUnpacked)
		}
		return out, nil
	}
	return nil, fmt.Errorf("packed value: unknown kind %d", packed[0])
}

// seal packs and seals bytes for a row.
func (j *Journal) seal(plain []byte, row string) ([]byte, error) {
	sealed, err := j.keys.Seal(pack(plain), row)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

func (j *Journal) unseal(sealed []byte, row string) ([]byte, error) {
	packed, err := j.keys.Open(sealed, row)
	if err != nil {
		return nil, err
	}
	return unpack(packed)
}

// sealJSON packs and seals a value for a row.
func (j *Journal) sealJSON(v any, row string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return j.seal(plain, row)
}

func (j *Journal) unsealJSON(sealed []byte, row string, v any) error {
	plain, err := j.unseal(sealed, row)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("decode %s: %w", row, err)
	}
	return nil
}
