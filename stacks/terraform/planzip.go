package terraform

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of a plan file, far above real ones: a plan of 10,000 resources has some 30 MB.
const (
	maxPlanFile = 256 << 20
	maxPlanBody = 128 << 20
)

// unpackPlan unpacks the plan and the lock file, whose first line names the product.
func unpackPlan(file []byte) (body, lock []byte, err error) {
	if len(file) > maxPlanFile {
		return nil, nil, ErrPlanSize
	}
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, nil, fmt.Errorf("plan file: %w", err)
	}
	for _, f := range z.File {
		switch f.Name {
		case "tfplan":
			body, err = unpackEntry(f)
		case LockFileName:
			lock, err = unpackEntry(f)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("plan file: %w", err)
		}
	}
	if body == nil {
		return nil, nil, errors.New("plan file: no plan in the archive")
	}
	return body, lock, nil
}

func unpackEntry(f *zip.File) (_ []byte, err error) {
	if f.UncompressedSize64 > maxPlanBody {
		return nil, ErrPlanSize
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	content, err := io.ReadAll(io.LimitReader(r, maxPlanBody+1))
	if err == nil && len(content) > maxPlanBody {
		err = ErrPlanSize
	}
	return content, err
}

// field is one field of a protobuf message: number holds varints, bytes everything with a length.
type field struct {
	id     protowire.Number
	number uint64
	bytes  []byte
}

func (f field) bool() bool { return f.number != 0 }

// eachField walks the fields of a message. Other wire types are skipped, and so is what nobody asks for.
func eachField(msg []byte, visit func(field) error) error {
	for len(msg) > 0 {
		id, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		f := field{id: id}
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(msg)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(msg)
		default:
			n = protowire.ConsumeFieldValue(id, typ, msg)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}
