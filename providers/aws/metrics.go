package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"meridian/providers"
	"meridian/stacks"
)

var _ providers.LagMeter = (*Provider)(nil)

// lagBack is how far back a measurement of lag is taken for one of now: CloudWatch has one a minute, some minutes late.
const lagBack = 10 * time.Minute

// mostAnswer bounds what is read of an answer.
const mostAnswer = 1 << 20

// ReplicationLag is what CloudWatch measured last of the replication into a region: of a cluster of a global database AuroraGlobalDBReplicationLag,
// of a read replica ReplicaLag.
func (p *Provider) ReplicationLag(ctx context.Context, in providers.ModuleInput) (time.Duration, bool, error) {
	metric, dimension, unit := "ReplicaLag", "DBInstanceIdentifier", time.Second
	if hasAurora(in.Region) {
		metric, dimension, unit = "AuroraGlobalDBReplicationLag", "DBClusterIdentifier", time.Millisecond
	}
	if _, follows := in.Database.PhysicalSource(in.Region.Name); !follows || hasAurora(in.Region) && in.Database.Spec.Topology != stacks.TopologyGlobal {
		return 0, false, nil
	}
	a, err := accessOf(in)
	if err != nil {
		return 0, false, err
	}
	s, err := p.sessions.of(ctx, a)
	if err != nil {
		return 0, false, err
	}
	n, measured, err := s.metrics.newest(ctx, metric, dimension, instanceName(in))
	if err != nil {
		return 0, false, p.explain(a, metric+" of "+instanceName(in), err)
	}
	// A replica that does not replicate has a lag of -1.
	return time.Duration(n * float64(unit)), measured && n >= 0, nil
}

// metrics asks CloudWatch, by its query protocol.
type metrics struct {
	cfg   sdk.Config
	limit *limit
}

// newest is the largest value in the newest minute of a metric that has one, among all its dimensions that name an object.
func (m *metrics) newest(ctx context.Context, metric, dimension, object string) (value float64, measured bool, err error) {
	var listed struct {
		Metrics []struct {
			Dimensions []struct {
				Name, Value string
			} `xml:"Dimensions>member"`
		} `xml:"ListMetricsResult>Metrics>member"`
	}
	if err := m.ask(ctx, url.Values{
		"Action": {"ListMetrics"}, "Namespace": {"AWS/RDS"}, "MetricName": {metric},
		"Dimensions.member.1.Name": {dimension}, "Dimensions.member.1.Value": {object},
	}, &listed); err != nil {
		return 0, false, err
	}
	now := time.Now().UTC()
	var at time.Time
	for _, one := range listed.Metrics {
		question := url.Values{
			"Action": {"GetMetricStatistics"}, "Namespace": {"AWS/RDS"}, "MetricName": {metric}, "Period": {"60"}, "Statistics.member.1": {"Maximum"},
			"StartTime": {now.Add(-lagBack).Format(time.RFC3339)}, "EndTime": {now.Format(time.RFC3339)},
		}
		for i, d := range one.Dimensions {
			question.Set(fmt.Sprintf("Dimensions.member.%d.Name", i+1), d.Name)
			question.Set(fmt.Sprintf("Dimensions.member.%d.Value", i+1), d.Value)
		}
		var said struct {
			Points []struct {
				Timestamp time.Time
				Maximum   float64
			} `xml:"GetMetricStatisticsResult>Datapoints>member"`
		}
		if err := m.ask(ctx, question, &said); err != nil {
			return 0, false, err
		}
		for _, point := range said.Points {
			if point.Timestamp.After(at) || point.Timestamp.Equal(at) && point.Maximum > value {
				at, value, measured = point.Timestamp, point.Maximum, true
			}
		}
	}
	return value, measured, nil
}

// ask makes one signed call and reads its answer.
func (m *metrics) ask(ctx context.Context, question url.Values, into any) error {
	question.Set("Version", "2010-08-01")
	if err := m.limit.bucket.Wait(ctx); err != nil {
		return err
	}
	body := question.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.endpoint(), strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	who, err := m.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, who, req, hex.EncodeToString(sum[:]), "monitoring", m.cfg.Region, time.Now()); err != nil {
		return err
	}
	res, err := m.cfg.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var refused struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		_ = xml.Unmarshal(text, &refused) // what is no answer of AWS is told by its status
		return &smithy.GenericAPIError{Code: cmp.Or(refused.Code, res.Status), Message: refused.Message}
	}
	return xml.Unmarshal(text, into)
}

// endpoint is CloudWatch's in the region, or where the environment says that AWS is.
func (m *metrics) endpoint() string {
	if m.cfg.BaseEndpoint != nil {
		return *m.cfg.BaseEndpoint
	}
	domain := "amazonaws.com"
	if partition(m.cfg.Region) == "aws-cn" {
		domain += ".cn"
	}
	return "https://monitoring." + m.cfg.Region + "." + domain + "/"
}
