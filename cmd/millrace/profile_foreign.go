package main

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rpkFile is the part of rpk.yaml that says how to reach a cluster.
type rpkFile struct {
	CurrentProfile string `yaml:"current_profile"`
	Profiles       []struct {
		Name     string `yaml:"name"`
		KafkaAPI rpkAPI `yaml:"kafka_api"`
	} `yaml:"profiles"`
}

type rpkAPI struct {
	Brokers []string `yaml:"brokers"`
	TLS     *struct {
		CA       string `yaml:"ca_file"`
		Cert     string `yaml:"cert_file"`
		Key      string `yaml:"key_file"`
		Insecure bool   `yaml:"insecure_skip_verify"`
	} `yaml:"tls"`
	SASL *struct {
		User      string `yaml:"user"`
		Password  string `yaml:"password"`
		Mechanism string `yaml:"mechanism"`
	} `yaml:"sasl"`
}

func importRpk(data []byte) ([]imported, error) {
	var file rpkFile
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	var out []imported
	for _, p := range file.Profiles {
		set := map[string]string{}
		put(set, "brokers", strings.Join(p.KafkaAPI.Brokers, ","))
		if t := p.KafkaAPI.TLS; t != nil { // in rpk an empty tls section turns TLS on
			set["tls.enabled"] = "true"
			put(set, "tls.ca", t.CA)
			put(set, "tls.cert", t.Cert)
			put(set, "tls.key", t.Key)
			if t.Insecure {
				set["tls.insecure_skip_verify"] = "true"
			}
		}
		if l := p.KafkaAPI.SASL; l != nil {
			put(set, "sasl.username", l.User)
			put(set, "sasl.password", l.Password)
			put(set, "sasl.mechanism", strings.ToUpper(l.Mechanism))
		}
		out = append(out, imported{name: p.Name, settings: set, current: p.Name == file.CurrentProfile})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no profiles in it")
	}
	return out, nil
}

func put(set map[string]string, key, value string) {
	if value != "" {
		set[key] = value
	}
}

// importKcat reads librdkafka's keys.
func importKcat(data []byte) []imported {
	names := map[string]string{
		"bootstrap.servers": "brokers", "metadata.broker.list": "brokers", "client.id": "client_id",
		"ssl.ca.location": "tls.ca", "ssl.certificate.location": "tls.cert", "ssl.key.location": "tls.key",
		"sasl.mechanism": "sasl.mechanism", "sasl.mechanisms": "sasl.mechanism", "sasl.username": "sasl.username", "sasl.password": "sasl.password",
	}
	p := imported{name: "kcat", settings: map[string]string{}}
	for _, kv := range readProperties(data) {
		switch key, value := kv[0], kv[1]; {
		case names[key] != "":
			put(p.settings, names[key], value)
		case key == "security.protocol":
			putProtocol(&p, value)
		case key == "enable.ssl.certificate.verification":
			p.settings["tls.insecure_skip_verify"] = strconv.FormatBool(value == "false")
		default:
			p.skipped = append(p.skipped, key)
		}
	}
	return []imported{p}
}

// importJava reads the keys of Apache Kafka's clients. Of key stores, PEM files can be taken over.
func importJava(data []byte) []imported {
	p := imported{name: "java.properties", settings: map[string]string{}}
	properties := map[string]string{}
	for _, kv := range readProperties(data) {
		properties[kv[0]] = kv[1]
	}
	for key, value := range properties {
		switch {
		case key == "bootstrap.servers":
			put(p.settings, "brokers", value)
		case key == "client.id":
			put(p.settings, "client_id", value)
		case key == "security.protocol":
			putProtocol(&p, value)
		case key == "sasl.mechanism":
			put(p.settings, "sasl.mechanism", value)
		case key == "sasl.jaas.config":
			put(p.settings, "sasl.username", jaasOption(value, "username"))
			put(p.settings, "sasl.password", jaasOption(value, "password"))
		case key == "ssl.truststore.location" && properties["ssl.truststore.type"] == "PEM":
			put(p.settings, "tls.ca", value)
		case key == "ssl.keystore.location" && properties["ssl.keystore.type"] == "PEM":
			put(p.settings, "tls.cert", value)
			put(p.settings, "tls.key", value)
		case key == "ssl.truststore.type" && value == "PEM", key == "ssl.keystore.type" && value == "PEM":
		default:
			p.skipped = append(p.skipped, key)
		}
	}
	return []imported{p}
}

func putProtocol(p *imported, protocol string) {
	protocol = strings.ToUpper(protocol)
	p.settings["tls.enabled"] = strconv.FormatBool(strings.HasSuffix(protocol, "SSL"))
}

// jaasOption takes username="..." out of a JAAS line.
func jaasOption(line, option string) string {
	match := regexp.MustCompile(option + `\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))`).FindStringSubmatch(line)
	if match == nil {
		return ""
	}
	if match[2] != "" {
		return match[2]
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(match[1])
}

// readProperties reads key=value and key: value lines; # and ! begin comments, a backslash at the end joins lines.
func readProperties(data []byte) [][2]string {
	var out [][2]string
	lines := bufio.NewScanner(bytes.NewReader(data))
	joined := ""
	for lines.Scan() {
		line := joined + strings.TrimLeft(lines.Text(), " \t\f")
		joined = ""
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		if head, ok := strings.CutSuffix(line, `\`); ok {
			joined = head
			continue
		}
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			continue
		}
		out = append(out, [2]string{strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])})
	}
	return out
}
