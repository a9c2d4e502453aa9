package record

// A Status is the answer of a test, a suite or a record.
type Status string

const (
	Pass Status = "pass"
	// Fail means that the image gave a wrong answer.
	Fail Status = "fail"
	// Error means that there was no answer: a timeout, or trouble with what runs
	// the tests.
	Error Status = "error"
)

// Statuses are all of them.
var Statuses = []string{string(Pass), string(Fail), string(Error)}

// Overall sums statuses up: a wrong answer outweighs a missing one, and a missing
// one the right ones. Nothing asked is no answer.
func Overall(statuses ...Status) Status {
	overall := Pass
	for _, s := range statuses {
		switch {
		case s == Fail:
			return Fail
		case s != Pass:
			overall = Error
		}
	}
	if len(statuses) == 0 {
		return Error
	}
	return overall
}
