package aws

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"meridian/providers"
)

// What one account is asked at the most, by all databases together. AWS does not publish the limits of RDS; these stay below what was seen
// refused, and a refusal slows all sessions of the account down at once.
const (
	callsPerSecond = 10
	callsAtOnce    = 20
)

const (
	// callAttempts is how often one call is tried within one look: the poll around it goes on for ever.
	callAttempts = 3
	// callTimeout bounds one attempt of a call: a connection that hangs is another attempt's.
	callTimeout = 4 * time.Second
	// renewBefore is how long before its end a session is taken anew.
	renewBefore = 2 * time.Minute
)

// access says as whom and where a region is worked on.
type access struct {
	account, location string
	role, externalID  string
	length            time.Duration
}

// accessOf reads it from a region's settings.
func accessOf(in providers.ModuleInput) (access, error) {
	s, ds := readSettings(in.Region, "spec.regions."+in.Region.Name+".settings")
	if len(ds) > 0 {
		return access{}, fmt.Errorf("region %s: %s: %w", in.Region.Name, ds[0].Summary, providers.ErrPermanent)
	}
	a := access{account: s.Account, location: in.Region.Location}
	if s.AssumeRole != nil {
		a.role, a.externalID, a.length = s.AssumeRole.ARN, s.AssumeRole.ExternalID, time.Duration(s.AssumeRole.SessionLength)
	}
	return a, nil
}

// session holds the clients of one access.
type session struct {
	access
	rds *rds.Client
	ec2 *ec2.Client
	sts *sts.Client
	// metrics asks CloudWatch.
	metrics *metrics
}

// sessions makes one session for each access, and shares what belongs to an account.
type sessions struct {
	options []func(*config.LoadOptions) error

	mu     sync.Mutex
	made   map[access]*session
	limits map[string]*limit
}

// limit is what all sessions of one account share.
type limit struct {
	bucket  *rate.Limiter
	retryer sdk.Retryer
}

func newSessions(options []func(*config.LoadOptions) error) *sessions {
	return &sessions{options: options, made: map[access]*session{}, limits: map[string]*limit{}}
}

// of returns the session of an access, made once.
func (s *sessions) of(ctx context.Context, a access) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, ok := s.made[a]; ok {
		return made, nil
	}
	l := s.limitOf(a.account)
	options := append([]func(*config.LoadOptions) error{
		config.WithRegion(a.location),
		config.WithRetryer(func() sdk.Retryer { return l.retryer }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
		config.WithAPIOptions([]func(*middleware.Stack) error{l.wait}),
	}, s.options...)
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("the settings of the AWS SDK on this machine (%w): mend the environment or the shared files: %w", err, providers.ErrPermanent)
	}
	if a.role != "" {
		base := sts.NewFromConfig(cfg)
		cfg.Credentials = sdk.NewCredentialsCache(stscreds.NewAssumeRoleProvider(base, a.role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.Duration = "meridian", cmp.Or(a.length, o.Duration)
			if a.externalID != "" {
				o.ExternalID = &a.externalID
			}
		}), func(o *sdk.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore })
	}
	made := &session{access: a, rds: rds.NewFromConfig(cfg), ec2: ec2.NewFromConfig(cfg), sts: sts.NewFromConfig(cfg), metrics: &metrics{cfg: cfg, limit: l}}
	s.made[a] = made
	return made, nil
}

// drop forgets a session whose credentials were refused: the next one reads the environment again.
func (s *sessions) drop(a access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, a)
}

func (s *sessions) limitOf(account string) *limit {
	l, ok := s.limits[account]
	if !ok {
		l = &limit{
			bucket: rate.NewLimiter(callsPerSecond, callsAtOnce),
			// Adaptive: a throttled answer slows down whoever shares it, and answers that come speed up again.
			retryer: retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.MaxAttempts = callAttempts })
			}),
		}
		s.limits[account] = l
	}
	return l
}

// wait makes each attempt of a call wait for its turn in the account.
func (l *limit) wait(stack *middleware.Stack) error {
	turn := middleware.FinalizeMiddlewareFunc("meridianTurn", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if err := l.bucket.Wait(ctx); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		return next.HandleFinalize(ctx, in)
	})
	return stack.Finalize.Insert(turn, "Retry", middleware.After)
}

// instanceName is the name of a region's database: what it was imported under, or what its stack gives it.
func instanceName(in providers.ModuleInput) string {
	return cmp.Or(in.Placement.Values[valueIdentifier], identifier(in.Stack))
}

// valueIdentifier is the value of a placement that names a database that was there before Meridian.
const valueIdentifier = "identifier"
