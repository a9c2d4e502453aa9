// Package url parses URLs as net/url does.
package url

import "net/url"

// Parse is net/url's.
func Parse(rawURL string) (*url.URL, error) { return url.Parse(rawURL) }
