package intoto

// Results of a [TestResult].
const (
	Passed = "PASSED"
	Failed = "FAILED"
)

// A TestResult is the predicate https://in-toto.io/attestation/test-result/v0.1.
type TestResult struct {
	Result string `json:"result"`
	// Configuration names the files that say what was tested. It is required,
	// and may be empty.
	Configuration []Descriptor `json:"configuration"`
	PassedTests   []string     `json:"passedTests,omitempty"`
	FailedTests   []string     `json:"failedTests,omitempty"`
}
