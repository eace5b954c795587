//go:build linux

package bed

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// logServer answers what the API server asks a kubelet for on behalf of kubectl
// logs. Nothing else is answered.
type logServer struct {
	workDir  string
	log      *slog.Logger
	listener net.Listener
	tls      *tls.Config
}

func newLogServer(workDir string, log *slog.Logger) (*logServer, error) {
	certificate, err := selfSigned(net.ParseIP(nodeAddress))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(nodeAddress, strconv.Itoa(kubeletPort)))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &logServer{workDir: workDir, log: log, listener: listener, tls: &tls.Config{Certificates: []tls.Certificate{certificate}}}, nil
}

func (s *logServer) run(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.serveLog)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the test bed offers kubectl logs only, not exec, attach or port-forward", http.StatusNotImplemented)
	})
	server := &http.Server{
		Handler: mux, TLSConfig: s.tls, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("the log server has ended", "err", err)
	}
}

// serveLog knows the parameters follow and tailLines. The process before a restart
// wrote to the same log.
func (s *logServer) serveLog(w http.ResponseWriter, r *http.Request) {
	file, err := os.Open(podLogPath(s.workDir, r.PathValue("namespace"), r.PathValue("pod")))
	if err != nil {
		http.Error(w, "no log yet", http.StatusNotFound)
		return
	}
	defer file.Close()
	query := r.URL.Query()
	if lines, err := strconv.Atoi(query.Get("tailLines")); err == nil && lines >= 0 {
		if err := seekLastLines(file, lines); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	controller := http.NewResponseController(w)
	for {
		if _, err := io.Copy(w, file); err != nil {
			return // the reader has gone
		}
		if follow, err := strconv.ParseBool(query.Get("follow")); err != nil || !follow {
			return
		}
		if controller.Flush() != nil || sleep(r.Context(), 200*time.Millisecond) != nil {
			return
		}
	}
}

// seekLastLines positions file at the start of its last n lines.
func seekLastLines(file *os.File, n int) error {
	content, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	at := len(bytes.TrimSuffix(content, []byte("\n")))
	start := len(content)
	for ; n > 0 && at >= 0; n-- {
		at = bytes.LastIndexByte(content[:at], '\n')
		start = at + 1
	}
	if _, err := file.Seek(int64(start), io.SeekStart); err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	return nil
}

func selfSigned(address net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("generate a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{address},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
