package operations

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/operations/termtest"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	web  = "projects/pay/apps/web"
	api  = "projects/pay/apps/api"
	cron = "projects/pay/apps/cron"
)

// second is how long a turn of the test takes by the operation's clock.
const second = 3 * time.Second

// kinds of operations, each with what its platform is like before.
type scenario struct {
	name string
	// prepare changes the platform before the operation, and may run others.
	prepare func(*platform)
	// begin starts the operation.
	begin func(*platform) string
	// least is how many replicas of web serve at any time.
	least int
	// rises: the traffic of site-b, and its share of web's, only grows; otherwise it only falls.
	rises bool
}

func scenarios() []scenario {
	return []scenario{
		{name: "SwitchTraffic", begin: (*platform).switchAway, least: 4},
		{name: "SwitchTraffic back", prepare: switched, begin: (*platform).switchBack, least: 4, rises: true},
		{name: "MigrateApps, planned", begin: (*platform).migrate, least: 4},
		{name: "MigrateApps, lost", prepare: (*platform).lose, begin: (*platform).approvePrepared, least: 2},
		{name: "FailBack", prepare: migrated, begin: (*platform).failBack, least: 4, rises: true},
		{name: "Reverse", prepare: migrated, begin: (*platform).reverse, least: 4, rises: true},
		{name: "ShiftTraffic", begin: (*platform).shiftToB, least: 2, rises: true},
		{name: "ShiftTraffic back", prepare: shifted, begin: (*platform).reset, least: 2},
		{name: "Reverse of a shift", prepare: shifted, begin: (*platform).reverse, least: 2},
		{name: "MigrateApps, with shares", prepare: shifted, begin: (*platform).migrate, least: 2},
	}
}

func switched(p *platform) { p.run(p.switchAway()) }
func migrated(p *platform) { p.run(p.migrate()) }
func shifted(p *platform)  { p.run(p.shiftToB()) }

// Whenever the leader dies, right before or right after anything that it does, the next one brings
// the operation to the same end, and on the way nobody is short of replicas.
//
// rule K5, rule C2, rule C5
func TestACrashAnywhereLeadsToTheSameEnd(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			begun := begin(t, s)
			want, did := begun.once()
			t.Logf("%d writes and effects; ends as %v", len(did), want)
			check := func(what string, deaths ...death) {
				got, _ := begun.once(deaths...)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: another end (-want +got):\n%s", what, diff)
				}
			}
			for _, d := range boundaries(t, len(did)) {
				check(fmt.Sprintf("dead at %d (after it: %t), %s", d.at, d.after, did[d.at-1]), d)
			}
			var each []death
			for i := range 12 {
				each = append(each, death{3, i%2 == 0})
			}
			check("each leader dies of its third deed", each...)
		})
	}
}

// boundaries are all moments to die with GANTRY_TEST_FULL=1 (some minutes);
// otherwise a few, drawn by a seed that is printed and can be given as
// GANTRY_TEST_SEED.
func boundaries(t *testing.T, deeds int) []death {
	t.Helper()
	var all []death
	for at := 1; at <= deeds; at++ {
		all = append(all, death{at, false}, death{at, true})
	}
	if os.Getenv("GANTRY_TEST_FULL") != "" {
		return all
	}
	seed, err := strconv.ParseUint(os.Getenv("GANTRY_TEST_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("GANTRY_TEST_SEED=%d", seed)
	drawn := rand.New(rand.NewPCG(seed, 0))
	drawn.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(2, len(all))]
}

// begun is a platform at the moment that its operation has been started. It
// can be gone on from again and again.
type begun struct {
	*platform
	name string
	keys []*mvccpb.KeyValue
}

func begin(t *testing.T, s scenario) begun {
	t.Helper()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	if s.prepare != nil {
		s.prepare(p)
	}
	b := begun{platform: p, name: s.begin(p)}
	p.least, p.rises = s.least, s.rises
	r, err := p.raw.Get(t.Context(), "/gantry", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	b.keys = r.Kvs
	return b
}

// once carries the operation out with leaders that die, and gives its end and
// what the first leader did.
func (b begun) once(deaths ...death) (end []string, did []string) {
	b.t.Helper()
	ops := []clientv3.Op{}
	if _, err := b.raw.Delete(b.t.Context(), "/gantry", clientv3.WithPrefix()); err != nil {
		b.t.Fatal(err)
	}
	for _, k := range b.keys {
		ops = append(ops, clientv3.OpPut(string(k.Key), string(k.Value)))
	}
	if _, err := b.raw.Txn(b.t.Context()).Then(ops...).Commit(); err != nil {
		b.t.Fatal(err)
	}
	p := *b.platform
	p.cloud, p.watching, p.percent, p.share = b.cloud.clone(), true, -1, -1
	did = p.run(b.name, deaths...)
	o := p.operation(b.name)
	return append(p.cloud.end(), o.Metadata.GetState().String(), p.stored()), did
}

// platform is a store, a cloud, and whoever leads.
type platform struct {
	t     *testing.T
	raw   *clientv3.Client
	store *store.Store
	cloud *cloud
	now   time.Time

	watching bool
	least    int
	rises    bool
	percent  int
	share    int
}

// newPlatform runs four web and two api over two clusters, and one cron of
// class single in site-b.
func newPlatform(t *testing.T, raw *clientv3.Client) *platform {
	t.Helper()
	p := &platform{t: t, raw: raw, store: store.New(raw), cloud: newCloud("site-a", "site-b"), now: time.Unix(1_790_000_000, 0), percent: -1}
	change := store.NewChange()
	for _, n := range []string{"site-a", "site-b"} {
		healthy := &gantryv1.ClusterHealth{State: gantryv1.ClusterHealth_STATE_HEALTHY, Since: timestamppb.New(time.Unix(1000, 0))}
		p.store.Clusters.Put(change, "clusters/"+n, &gantryv1.Cluster{Name: "clusters/" + n, Identity: n, TrafficPercent: 100, Health: healthy}, 0)
	}
	p.store.Gateways.Put(change, "gateways/main", &gantryv1.Gateway{Name: "gateways/main", Nodes: []*gantryv1.GatewayNode{{Name: "lb-1"}, {Name: "lb-2"}}}, 0)
	p.store.Routes.Put(change, "projects/pay/routes/web", &gantryv1.Route{Name: "projects/pay/routes/web", Gateway: "gateways/main", Host: "web.test", App: web, Port: 80}, 0)
	p.app(change, web, gantryv1.AppClass_APP_CLASS_REPLICATED, 2, 2)
	p.app(change, api, gantryv1.AppClass_APP_CLASS_REPLICATED, 1, 1)
	p.app(change, cron, gantryv1.AppClass_APP_CLASS_SINGLE, 0, 1)
	p.commit(change)
	p.settle()
	return p
}

func (p *platform) app(change *store.Change, name string, class gantryv1.AppClass, a, b int) {
	spec := &gantryv1.AppSpec{Image: "hello:v1", Class: class, Resources: &gantryv1.Resources{Cpu: "100m", Memory: "64Mi"}}
	p.store.Apps.Put(change, name, &gantryv1.App{Name: name, Spec: spec, Status: &gantryv1.AppStatus{Release: 1}}, 0)
	assignment := store.Assignment{App: name, Desired: a + b, Release: 1}
	for i, n := range []int{a, b} {
		site := []string{"site-a", "site-b"}[i]
		assignment.Shares = append(assignment.Shares, store.ShareRecord{Cluster: "clusters/" + site, Replicas: n})
		if n > 0 {
			p.cloud.runs(site, name, n)
		}
	}
	p.store.Assignments.Put(change, name, assignment, 0)
}

func (p *platform) commit(change *store.Change) {
	p.t.Helper()
	if _, err := p.store.Commit(p.t.Context(), change); err != nil {
		p.t.Fatal(err)
	}
}

// planner is the API's, which any instance serves.
func (p *platform) planner() *planning.Planner {
	p.t.Helper()
	reader := start(p.t, p.raw, p.cloud, p.anyTerm(), death{})
	reader.observer.Look(p.t.Context())
	there := func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }
	planner, err := planning.New(planning.Config{Store: p.store, Observer: reader.observer, Images: there})
	if err != nil {
		p.t.Fatal(err)
	}
	return planner
}

// settle lets a leader work until nothing changes any more.
func (p *platform) settle() []string { return p.lead(func() bool { return true }, nil) }

// run lets leaders work until an operation has ended and nothing changes any
// more, and gives what the first of them did.
func (p *platform) run(name string, deaths ...death) []string {
	p.t.Helper()
	return p.lead(func() bool { return !p.operation(name).Live() }, deaths)
}

const maxTurns = 400

// lead gives the lead to one process after the other as they die.
func (p *platform) lead(ended func() bool, deaths []death) (did []string) {
	p.t.Helper()
	quiet, turns := 0, 0
	for n := 0; quiet < 3; n++ {
		term, stop := termtest.Lead(p.t, p.raw, fmt.Sprintf("cluster-mgr-%d", n))
		d := death{}
		if n < len(deaths) {
			d = deaths[n]
		}
		process := start(p.t, p.raw, p.cloud, term, d)
		for ; !process.gone() && quiet < 3; turns++ {
			before := len(process.log)
			p.turn(process)
			if quiet++; len(process.log) != before || !ended() {
				quiet = 0
			}
			if turns > maxTurns {
				p.t.Fatalf("it does not end; the last deeds: %v", process.log[max(0, len(process.log)-5):])
			}
		}
		stop()
		if n == 0 {
			did = process.log
		}
	}
	return did
}

// turn lets a process and the cloud go on by one turn, and looks after it.
func (p *platform) turn(process *process) {
	p.t.Helper()
	if err := process.look(p.t.Context(), p.now); err != nil {
		p.t.Fatalf("%v", err)
	}
	published, _ := p.store.Configs.Get(p.t.Context(), "main")
	p.cloud.turn(published.Value)
	p.now = p.now.Add(second)
	if p.watching {
		p.watch()
	}
}

// watch is what must hold at any time.
func (p *platform) watch() {
	p.t.Helper()
	if got := p.cloud.available(web); got < p.least {
		p.t.Errorf("%d replicas of web serve, the least is %d: %v", got, p.least, p.cloud.end())
	}
	if copies := p.cloud.sites["site-a"].pods(cron) + p.cloud.sites["site-b"].pods(cron); copies > 1 {
		p.t.Errorf("%d copies of cron run: %v", copies, p.cloud.end()) // rule C5
	}
	percent := p.cloud.percent("site-b")
	if p.percent >= 0 && (p.rises && percent < p.percent || !p.rises && percent > p.percent) {
		p.t.Errorf("the traffic of site-b went from %d to %d %%", p.percent, percent)
	}
	p.percent = percent
	share := p.cloud.share(web, "site-b")
	if p.share >= 0 && (p.rises && share < p.share || !p.rises && share > p.share) {
		p.t.Errorf("site-b's share of web went from %d to %d %%", p.share, share)
	}
	p.share = share
}

func (p *platform) operation(name string) fleet.Operation {
	p.t.Helper()
	item, err := p.store.Operations.Get(p.t.Context(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	o, err := fleet.Unpack(item)
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// stored is the clusters and assignments in words.
func (p *platform) stored() string {
	p.t.Helper()
	out := ""
	list, _, err := p.store.Clusters.List(p.t.Context(), "")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range list {
		out += fmt.Sprintf("%s %d %% evacuated=%t; ", c.Name, c.Value.GetTrafficPercent(), c.Value.GetEvacuated())
	}
	shares, _, err := p.store.Shares.List(p.t.Context(), "")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, r := range shares {
		out += fmt.Sprintf("%s by %v; ", r.Name, fleet.SharesOf(r.Value))
	}
	assignments, _, err := p.store.Assignments.List(p.t.Context(), "")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, a := range assignments {
		out += fmt.Sprintf("%s %d:", a.Name, a.Value.Desired)
		for _, s := range a.Value.Shares {
			out += fmt.Sprintf(" %s=%d", s.Cluster, s.Replicas)
		}
		out += a.Value.Shortfall + "; "
	}
	return out
}
