package auth

import (
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Challenge is what a registry wants to see (RFC 9110, section 11).
type Challenge struct {
	// Scheme is in lower case: basic, bearer, ...
	Scheme string
	// Params have keys in lower case.
	Params map[string]string
}

const (
	maxChallenge  = 8 << 10 // bytes of a header that are looked at
	maxChallenges = 16
)

// ParseChallenges understands WWW-Authenticate headers, of which each may hold several challenges. What it does not
// understand it leaves out.
func ParseChallenges(headers []string) (all []Challenge) {
	for _, h := range headers {
		s := scanner(h[:min(len(h), maxChallenge)])
		for len(all) < maxChallenges {
			s.skip(" \t,")
			scheme := s.token()
			if scheme == "" {
				break
			}
			all = append(all, Challenge{Scheme: strings.ToLower(scheme), Params: s.params()})
		}
	}
	return all
}

// scanner is what is left to read.
type scanner string

func (s *scanner) skip(chars string) { *s = scanner(strings.TrimLeft(string(*s), chars)) }

func (s *scanner) token() string {
	i := 0
	for i < len(*s) && httpguts.IsTokenRune(rune((*s)[i])) {
		i++
	}
	t := string((*s)[:i])
	*s = (*s)[i:]
	return t
}

// params reads key=value pairs up to what looks like the next challenge. A token68, which no registry's challenge has, is
// passed over.
func (s *scanner) params() map[string]string {
	m := map[string]string{}
	for {
		s.skip(" \t,")
		before := *s
		key := s.token()
		s.skip(" \t")
		if key == "" || !strings.HasPrefix(string(*s), "=") {
			if key != "" {
				*s = before
			}
			return m
		}
		*s = (*s)[1:]
		s.skip(" \t")
		value, ok := s.value()
		if !ok {
			*s = ""
			return m
		}
		if _, twice := m[strings.ToLower(key)]; !twice {
			m[strings.ToLower(key)] = value
		}
	}
}

// value is a token or a quoted string.
func (s *scanner) value() (string, bool) {
	if !strings.HasPrefix(string(*s), `"`) {
		s.skip("=") // the padding of a token68
		return s.token(), true
	}
	var b strings.Builder
	for i := 1; i < len(*s); i++ {
		switch c := (*s)[i]; {
		case c == '"':
			*s = (*s)[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(*s):
			i++
			b.WriteByte((*s)[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
