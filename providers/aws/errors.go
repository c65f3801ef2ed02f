package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/smithy-go"

	"meridian/providers"
)

// credentialCodes are the answers of AWS that only another credential, role or permission mends. Throttling, 5xx, time-outs and a clock that
// is wrong (RequestExpired, RequestTimeTooSkewed: the SDK corrects it) are not among them.
var credentialCodes = map[string]string{
	"ExpiredToken":                "the credentials have expired: renew them",
	"ExpiredTokenException":       "the credentials have expired: renew them",
	"InvalidClientTokenId":        "AWS does not know the credentials: give others, or a session token with them",
	"UnrecognizedClientException": "AWS does not know the credentials: give others, or a session token with them",
	"InvalidAccessKeyId":          "AWS does not know the credentials: give others",
	"AuthFailure":                 "AWS refuses the credentials: give others",
	"SignatureDoesNotMatch":       "the secret access key is not the one of its access key ID: give others",
	"MissingAuthenticationToken":  "there are no credentials: give some",
	"OptInRequired":               "the account may not use this region or service: opt in to it",
	"AccessDenied":                "a permission is missing: grant it",
	"AccessDeniedException":       "a permission is missing: grant it",
	"UnauthorizedOperation":       "a permission is missing: grant it",
	"NotAuthorized":               "a permission is missing: grant it",
}

// refusalCodes are answers that say that the question itself can never be answered.
var refusalCodes = []string{"ValidationError", "InvalidParameterValue", "InvalidParameterCombination", "InvalidAction", "MalformedPolicyDocument"}

// apiCode is the word of AWS for an error, or "".
func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// rejected reports whether an error says that the credentials, the role or a permission have to be changed by a person, and by what words.
// An error of the metadata service of EC2 is the end of the search for credentials: there are none.
func rejected(err error) (next string, yes bool) {
	if next, yes = credentialCodes[apiCode(err)]; yes {
		return next, true
	}
	if containsOperation(err, "ec2imds") {
		return "no credentials were found: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of this machine", true
	}
	return "", false
}

// containsOperation reports whether an operation of a service is anywhere in the chain.
func containsOperation(err error, service string) bool {
	for err != nil {
		if op, ok := err.(*smithy.OperationError); ok && op.Service() == service { //nolint:errorlint // each one of the chain is looked at
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}

// explain turns an error of the SDK into one that says what to do. What a person must change wraps providers.ErrPermanent; all else is
// transient. The text of AWS may name users, roles and requests, never a secret; the SDK's own never holds a request's headers.
func (p *Provider) explain(a access, what string, err error) error {
	if err == nil {
		return nil
	}
	where := fmt.Sprintf("AWS account %s in %s", a.account, a.location)
	if a.role != "" {
		where += " as " + a.role
	}
	if next, yes := rejected(err); yes {
		p.sessions.drop(a)
		return fmt.Errorf("%s: %s: %s, then apply again (%s): %w", where, what, next, brief(err), providers.ErrPermanent)
	}
	if code := apiCode(err); slices.Contains(refusalCodes, code) {
		return fmt.Errorf("%s: %s: AWS refuses the question (%s): %w", where, what, brief(err), providers.ErrPermanent)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %s: %w", where, what, err)
}

// brief is what AWS itself said, without the SDK's words around it.
func brief(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return "no answer of AWS"
}

// isCode reports whether AWS answered with one of these words.
func isCode(err error, codes ...string) bool {
	code := apiCode(err)
	return code != "" && slices.Contains(codes, code)
}
