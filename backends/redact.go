package backends

import "strings"

// hidden stands for what [Redact] does not show.
const hidden = "…"

// Redact returns what may be shown of a store's URL: the scheme, the hosts and the path. The user,
// the password and the query are left out: each may be or hold a secret. rawURL need not be a valid
// URL. Where it cannot be told what is secret, less is shown:
//
//   - Hosts that stand before the last '@' are not told from a password, so only those after it are
//     shown.
//   - With an '@' in the path or in the query, the password may have begun with what looks like a
//     host. Then only the scheme is shown.
//   - Nothing is shown of what has no scheme, or has one that is not of this module and no "//"
//     behind it: of user:password, the scheme would be the user.
//
// Of several URLs with commas between them, each is shown in this way.
func Redact(rawURL string) string {
	for i, c := range cutAny(rawURL, "?#") {
		if c != ',' {
			continue
		}
		next := strings.TrimSpace(rawURL[i+1:])
		if _, rest, ok := cutScheme(next); ok && strings.HasPrefix(rest, "//") {
			return Redact(rawURL[:i]) + "," + Redact(next)
		}
	}
	scheme, rest, ok := cutScheme(rawURL)
	if !ok {
		return hidden
	}
	rest, isURL := strings.CutPrefix(rest, "//")
	if !isURL {
		if _, ours := packages[scheme]; !ours {
			return hidden
		}
		if strings.Contains(rest, "@") {
			return scheme + ":" + hidden
		}
		return scheme + ":" + cutAny(rest, "?#")
	}
	hosts := cutAny(rest, "/?#")
	tail := rest[len(hosts):]
	if strings.Contains(tail, "@") {
		return scheme + "://" + hidden
	}
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		user := hosts[:i]
		hosts = hosts[i+1:]
		if strings.Contains(user, ",") {
			hosts = hidden + "," + hosts
		}
	}
	return scheme + "://" + hosts + cutAny(tail, "?#")
}

// cutScheme splits a URL after its scheme, which it returns in lower case.
func cutScheme(rawURL string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(rawURL, ":")
	for i := range len(scheme) {
		c := scheme[i] | 0x20 // in lower case, if it is a letter
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(scheme[i]))) {
			return "", "", false
		}
	}
	return strings.ToLower(scheme), rest, ok && scheme != ""
}

// cutAny returns s up to the first of the bytes in stops.
func cutAny(s, stops string) string {
	if i := strings.IndexAny(s, stops); i >= 0 {
		return s[:i]
	}
	return s
}
