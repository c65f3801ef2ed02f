package temporal

import (
	"fmt"
	"net/http"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdktemporal "go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// Sealer encrypts and decrypts; the installation's keyring is one. A sealed value names its key, so that keys can be rotated.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

const (
	// sealedEncoding marks a sealed payload.
	sealedEncoding = "binary/meridian-sealed"
	// sealedContext binds what is sealed to its use: nothing of the rows can be passed off as a payload, nor the other way round.
	sealedContext = "temporal payload"
)

// codec seals payloads. What is not sealed passes: a server may begin to seal while workflows run, and end it too.
type codec struct {
	sealer Sealer
	seals  bool
}

var _ converter.PayloadCodec = codec{}

// Encode seals each payload whole, with its metadata.
func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	if !c.seals {
		return payloads, nil
	}
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("seal a payload: %w", err)
		}
		sealed, err := c.sealer.Seal(plain, sealedContext)
		if err != nil {
			return nil, fmt.Errorf("seal a payload: %w", err)
		}
		out[i] = &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte(sealedEncoding)}, Data: sealed}
	}
	return out, nil
}

// Decode opens each sealed payload.
func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		data, sealed := SealedData(p)
		if !sealed {
			out[i] = p
			continue
		}
		plain, err := c.sealer.Open(data, sealedContext)
		if err != nil {
			return nil, fmt.Errorf("open a payload: %w", err)
		}
		out[i] = new(commonpb.Payload)
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, fmt.Errorf("open a payload: %w", err)
		}
	}
	return out, nil
}

// SealedData is what the codec sealed of a payload, which begins with the name of its key, and whether it is sealed at all.
func SealedData(p *commonpb.Payload) (data []byte, sealed bool) {
	return p.GetData(), string(p.GetMetadata()[converter.MetadataEncoding]) == sealedEncoding
}

// withCodec makes a client seal and open what workflows and activities are given and return, and their failures' texts.
func withCodec(o client.Options, s Sealer, seals bool) client.Options {
	if s == nil {
		return o
	}
	o.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec{s, seals})
	o.FailureConverter = sdktemporal.NewDefaultFailureConverter(sdktemporal.DefaultFailureConverterOptions{
		DataConverter: o.DataConverter, EncodeCommonAttributes: seals,
	})
	return o
}

// codecPath is where the Web UI asks for payloads to be opened, below its base path.
const codecPath = "/codec"

// decodeHandler opens payloads for the Web UI; it never seals.
func decodeHandler(s Sealer) http.Handler {
	decode := http.StripPrefix(codecPath, converter.NewPayloadCodecHTTPHandler(codec{sealer: s}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/decode") {
			http.NotFound(w, r)
			return
		}
		decode.ServeHTTP(w, r)
	})
}
