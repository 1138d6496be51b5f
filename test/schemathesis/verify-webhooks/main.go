// Verifies webhooks as they were received with the library of Standard Webhooks.
//
// Reads a JSON file: the secret, whether it is one of any text, and the webhooks with headers and body. Prints what the library
// makes of each: the event, or why it refuses it.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type given struct {
	Secret   string `json:"secret"`
	IsPlain  bool   `json:"is_plain"`
	Received []struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"received"`
}

type verdict struct {
	Event   json.RawMessage `json:"event,omitempty"`
	Refused string          `json:"refused,omitempty"`
}

func verifier(g given) (*standardwebhooks.Webhook, error) {
	if g.IsPlain {
		return standardwebhooks.NewWebhookRaw([]byte(g.Secret))
	}
	return standardwebhooks.NewWebhook(g.Secret)
}

func main() {
	log.SetFlags(0)
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var g given
	if err := json.Unmarshal(text, &g); err != nil {
		log.Fatal(err)
	}
	webhook, err := verifier(g)
	if err != nil {
		log.Fatal(err)
	}
	verdicts := make([]verdict, 0, len(g.Received))
	for _, each := range g.Received {
		headers := http.Header{}
		for name, value := range each.Headers {
			headers.Set(name, value)
		}
		if err := webhook.Verify([]byte(each.Body), headers); err != nil {
			verdicts = append(verdicts, verdict{Refused: err.Error()})
		} else {
			verdicts = append(verdicts, verdict{Event: json.RawMessage(each.Body)})
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		log.Fatal(err)
	}
}
