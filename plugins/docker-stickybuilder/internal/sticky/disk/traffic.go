package disk

// Traffic is what was exchanged with a disk's home. All of it counts, what had to be
// sent again too.
type Traffic struct {
	Requests      int64 `json:"requests"`
	SentBytes     int64 `json:"sentBytes"`     // in the bodies of requests
	ReceivedBytes int64 `json:"receivedBytes"` // in the bodies of answers
}

// Since is t less what it was before.
func (t Traffic) Since(before Traffic) Traffic {
	return Traffic{t.Requests - before.Requests, t.SentBytes - before.SentBytes, t.ReceivedBytes - before.ReceivedBytes}
}
