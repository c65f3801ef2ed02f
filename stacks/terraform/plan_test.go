package terraform

import (
	"archive/zip"
	"bytes"
	"errors"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/encoding/protowire"

	"meridian/stacks"
)

// message builds a protobuf message by hand.
type message []byte

func (m message) number(id protowire.Number, n uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, id, protowire.VarintType), n)
}

func (m message) bytes(id protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, id, protowire.BytesType), b)
}

func packed(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return message(nil).bytes(1, b)
}

func attributePath(names ...string) []byte {
	var m message
	for _, n := range names {
		m = m.bytes(1, message(nil).bytes(1, []byte(n)))
	}
	return m
}

var lockHead = "# This file is " + triedWriter + ".\n"

func zipped(t testing.TB, name string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		w, err = z.Create(LockFileName)
	}
	if err == nil {
		_, err = w.Write([]byte(lockHead))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb is an archive whose plan unpacks to more than any plan has.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	_, err := z.CreateRaw(&zip.FileHeader{Name: "tfplan", UncompressedSize64: maxPlanBody + 1})
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func resource(address string, change message) message {
	return message(nil).bytes(changeAddress, []byte(address)).bytes(changeChange, change)
}

// update is a change of attributes, with sensitive paths after it.
func update(t testing.TB, before, after any, sensitive ...[]byte) message {
	m := message(nil).number(deltaAction, 3).bytes(deltaValues, packed(t, before)).bytes(deltaValues, packed(t, after))
	for _, p := range sensitive {
		m = m.bytes(deltaAfterPaths, p)
	}
	return m
}

func planMessage(changes ...message) message {
	m := message(nil).number(planVersion, planFormat).bytes(planWriter, []byte("1.11.4"))
	for _, c := range changes {
		m = m.bytes(planChanges, c)
	}
	return m
}

// TestReadPlanByHand reads what the builtin provider cannot make.
func TestReadPlanByHand(t *testing.T) {
	type object = map[string]any
	setPath := message(attributePath("rules")).bytes(1, message(nil).bytes(2, packed(t, object{"port": 1})))
	cases := map[string]struct {
		change message
		want   stacks.Change
	}{
		"a deposed object": {
			message(nil).bytes(changeAddress, []byte("t.a")).bytes(changeDeposed, []byte("12ab")).number(changeReason, 0).
				bytes(changeChange, message(nil).number(deltaAction, 5).bytes(deltaValues, packed(t, object{"id": "x"}))),
			stacks.Change{Address: "t.a (deposed 12ab)", Type: "t", Action: stacks.ActionDelete, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "id", Before: `"x"`}}},
		},
		"a data source bears no data": {
			resource("module.m.data.t.a", message(nil).number(deltaAction, 2).bytes(deltaValues, packed(t, nil)).bytes(deltaValues, packed(t, object{"id": "x"}))),
			stacks.Change{Address: "module.m.data.t.a", Type: "t", Action: stacks.ActionRead,
				Attributes: []stacks.AttributeChange{{Path: "id", After: `"x"`}}},
		},
		"create before destroy is a replacement": {
			resource("t.a", message(nil).number(deltaAction, 7).bytes(deltaValues, packed(t, object{"id": "x"})).bytes(deltaValues, packed(t, object{"id": "y"}))).
				bytes(changeReplace, attributePath("id")).bytes(changeProvider, []byte(builtinSource+`terraform"]`)),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionReplace, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "id", Before: `"x"`, After: `"y"`, Forces: true}}},
		},
		"a sensitive element of a set hides the set": {
			resource("t.a", update(t, object{"rules": []any{}}, object{"rules": []any{object{"port": 1, "key": "k"}}}, setPath)),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionUpdate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "rules", Sensitive: true}}},
		},
		"a sensitive null": {
			resource("t.a", update(t, object{"key": nil, "x": 1}, object{"key": nil, "x": 2}, attributePath("key"), attributePath("key", "deep"))),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionUpdate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "x", Before: "1", After: "2"}}},
		},
		"only the mark moves": {
			resource("t.a", update(t, object{"key": "k"}, object{"key": "k"}, attributePath("key"))),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionUpdate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "key", Sensitive: true}}},
		},
		"a sensitive text copied elsewhere": {
			resource("t.a", update(t, object{"key": "k", "url": "x"}, object{"key": "pass\"word1", "url": "db://u:pass\"word1@h"}, attributePath("key"))),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionUpdate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "key", Sensitive: true}, {Path: "url", Sensitive: true}}},
		},
		"everything is sensitive": {
			resource("t.a", update(t, object{"key": "k"}, object{"key": "l"}, nil)),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionUpdate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "value", Sensitive: true}}},
		},
		"a list becomes a map": {
			resource("t.a", update(t, object{"x": []any{object{"k": 1}}}, object{"x": object{"k": 1}})),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionUpdate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "x[0].k", Before: "1"}, {Path: "x.k", After: "1"}}},
		},
		"unknown with refinements": {
			resource("t.a", message(nil).number(deltaAction, 1).bytes(deltaValues,
				message(nil).bytes(1, []byte{0x81, 0xa2, 'i', 'd', 0xc7, 0x03, 0x0c, 0x81, 0x01, 0xc2}))),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionCreate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "id", Unknown: true}}},
		},
		"fields of the future": {
			message(nil).number(99, 1).bytes(98, []byte("?")).bytes(changeAddress, []byte("t.a")).
				bytes(changeChange, message(nil).number(deltaAction, 1).number(77, 7).bytes(deltaValues, packed(t, object{"id": uint64(1) << 63}))),
			stacks.Change{Address: "t.a", Type: "t", Action: stacks.ActionCreate, DataBearing: true,
				Attributes: []stacks.AttributeChange{{Path: "id", After: "9223372036854775808"}}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := ReadPlan(zipped(t, "tfplan", planMessage(c.change)), []string{"t"})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Changes) != 1 || indented(t, p.Changes[0]) != indented(t, c.want) {
				t.Errorf("got %s, want %s", indented(t, p.Changes), indented(t, c.want))
			}
		})
	}
}

func TestReadPlanRefuses(t *testing.T) {
	deep := bytes.Repeat([]byte{0x91}, 1<<20)
	wide := append([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0xc0}, maxValues+1)...)
	create := func(raw []byte) message {
		return planMessage(resource("t.a", message(nil).number(deltaAction, 1).bytes(deltaValues, message(nil).bytes(1, raw))))
	}
	cases := map[string]struct {
		file []byte
		is   error
	}{
		"nothing":                   {file: nil},
		"no zip":                    {file: []byte("plan")},
		"no plan in it":             {file: zipped(t, "other", nil)},
		"no version":                {file: zipped(t, "tfplan", nil), is: ErrPlanVersion},
		"version 4":                 {file: zipped(t, "tfplan", message(nil).number(planVersion, 4)), is: ErrPlanVersion},
		"an action of the future":   {file: zipped(t, "tfplan", planMessage(resource("t.a", message(nil).number(deltaAction, 42)))), is: ErrPlanVersion},
		"a replacement by a plugin": {file: zipped(t, "tfplan", planMessage(resource("t.a", message(nil).number(deltaAction, 6)))), is: ErrPlanSensitive},
		"an untried version":        {file: zipped(t, "tfplan", planMessage(resource("t.a", nil)).bytes(planWriter, []byte("1.12.0"))), is: ErrPlanSensitive},
		"cut":                       {file: zipped(t, "tfplan", planMessage(resource("t.a", nil))[:12])},
		"a zip bomb":                {file: bomb(t), is: ErrPlanSize},
		"a deep value":              {file: zipped(t, "tfplan", create(deep)), is: errPlanValues},
		"a wide value":              {file: zipped(t, "tfplan", create(wide)), is: errPlanValues},
		"a list without end":        {file: zipped(t, "tfplan", create([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}))},
		"a text without end":        {file: zipped(t, "tfplan", create([]byte{0xdb, 0xff, 0xff, 0xff, 0xff}))},
		"an extension without end":  {file: zipped(t, "tfplan", create([]byte{0xc9, 0x7f, 0xff, 0xff, 0xff, 0x00}))},
		"a key that is no text":     {file: zipped(t, "tfplan", create([]byte{0x81, 0x01, 0x01}))},
		"a reserved code":           {file: zipped(t, "tfplan", create([]byte{0xc1}))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := ReadPlan(c.file, nil)
			if err == nil {
				t.Fatalf("read as %+v", p)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %v", err, c.is)
			}
			if c.is == nil && errors.Is(err, ErrPlanVersion) {
				t.Errorf("a broken file is taken for another format: %v", err)
			}
		})
	}
}

// TestReadPlanOfTofu tells tofu by the lock file in the plan; its builtin plans have nothing that a schema calls sensitive.
func TestReadPlanOfTofu(t *testing.T) {
	was := lockHead
	t.Cleanup(func() { lockHead = was })
	change := resource("t.a", update(t, map[string]any{"x": 1}, map[string]any{"x": 2}))
	builtin := append(change[:len(change):len(change)], message(nil).bytes(changeProvider, []byte(`module.m.`+builtinSource+`terraform"].alias`))...)
	for _, lockHead = range []string{`# This file is maintained automatically by "tofu init".`, ""} {
		if p, err := ReadPlan(zipped(t, "tfplan", planMessage(change)), nil); !errors.Is(err, ErrPlanSensitive) || !errors.Is(err, ErrPlanVersion) {
			t.Errorf("lock %q: %+v, %v", lockHead, p, err)
		}
		if _, err := ReadPlan(zipped(t, "tfplan", planMessage(builtin)), nil); err != nil {
			t.Errorf("lock %q: %v", lockHead, err)
		}
	}
}

func TestChangesFromShowRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                 "",
		"no plan":                 `{}`,
		"another major":           `{"format_version":"2.0"}`,
		"an action of the future": `{"format_version":"1.2","resource_changes":[{"address":"t.a","change":{"actions":["teleport"]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := ChangesFromShow([]byte(text), nil); err == nil {
				t.Errorf("read as %+v", p)
			}
		})
	}
}

func TestResourceType(t *testing.T) {
	for address, want := range map[string]string{
		"t.a":                           "t",
		`t.a["x.y"]`:                    "t",
		"data.t.a[0]":                   "t",
		`module.m["a.b]\"c"].data.t.a`:  "t",
		`module.m[0].module.n.t.a["]"]`: "t",
		"module.m":                      "module",
		`module.m["open`:                "module",
	} {
		if got := ResourceType(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(planMessage(resource("t.a", update(f, map[string]any{"a": 1}, map[string]any{"a": []any{[]byte(`"number"`), "1"}}, attributePath("a"))))))
	f.Add([]byte(planMessage(resource(`module.m["x"].t.a`, message(nil).number(deltaAction, 1).bytes(deltaValues, packed(f, []any{[]byte(`["object",{"a":"number"}]`), map[string]any{"a": "1e9"}}))))))
	f.Add([]byte(message(nil).number(planVersion, planFormat).bytes(planOutputs, message(nil).bytes(outputName, []byte("o")).number(outputSensitive, 1).bytes(outputChange, update(f, 1, "x")))))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ReadPlan(zipped(t, "tfplan", body), []string{"t"})
		if err != nil {
			return
		}
		for _, c := range p.Changes {
			for _, a := range c.Attributes {
				if a.Sensitive && (a.Before != "" || a.After != "") {
					t.Errorf("a sensitive value: %+v", a)
				}
			}
		}
		if _, err := ReadPlan(body, nil); err == nil {
			t.Log("the body itself is a plan file")
		}
	})
}
