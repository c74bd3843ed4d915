package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// calledBy is the context of a call by somebody with a certificate.
func calledBy(commonName string) context.Context {
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: commonName}}
	return peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{
		State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}},
	}})
}

func TestAuthorize(t *testing.T) {
	everything := map[string]bool{
		ipaasv1.IpaasService_GetClusterState_FullMethodName: true, ipaasv1.IpaasService_ApplyWorkload_FullMethodName: true,
		ipaasv1.IpaasService_ApplyConfig_FullMethodName: true, ipaasv1.IpaasService_FenceApp_FullMethodName: true,
		ipaasv1.IpaasService_DeleteWorkload_FullMethodName: true, ipaasv1.IpaasService_ListWorkloads_FullMethodName: true,
		ipaasv1.IpaasService_ListPods_FullMethodName: true, ipaasv1.IpaasService_WatchEndpoints_FullMethodName: true,
	}
	endpoints := map[string]bool{ipaasv1.IpaasService_WatchEndpoints_FullMethodName: true}
	for caller, allowed := range map[string]map[string]bool{
		"cluster-mgr": everything, "gantry-local": everything,
		"ingress-agent.main.lb-1": endpoints, "ingress-agent.other.lb-9": endpoints,
		"ingress-agent": nil, "portal": nil, "ipaas.site-b": nil, "cluster-mgr.evil": nil, "": nil,
	} {
		for method := range everything {
			_, err := Authorize(calledBy(caller), method, nil)
			if allowed[method] != (err == nil) || err != nil && !fault.Is(err, fault.KindDenied) {
				t.Errorf("%q calls %s: %v", caller, method, err)
			}
		}
	}
	if _, err := Authorize(calledBy("cluster-mgr"), "/gantry.ipaas.v1.IpaasService/Unknown", nil); !fault.Is(err, fault.KindDenied) {
		t.Errorf("a method without a permission: %v", err)
	}
}
