package health

// Decide takes new observations of one cluster into its state. nowUnixMilli is when they came in.
// It knows no other cluster; DecideAll does (rule C3).
func Decide(prev State, obs []Observation, nowUnixMilli int64, set Settings) State {
	return decide(prev, obs, nowUnixMilli, set.withDefaults(), true)
}

func decide(prev State, obs []Observation, now int64, set Settings, allowDown bool) State {
	s := prev
	s.Voices = hear(prev.Voices, obs, now, set)
	e := weigh(s.Voices, now, set)
	switch {
	case e.ipaas.alive > 0:
		s.ReachedUnixMilli = now
	case s.ReachedUnixMilli == 0 && (prev.Verdict == Healthy || prev.Verdict == Degraded):
		s.ReachedUnixMilli = prev.SinceUnixMilli // a new leader may go on from no more than the verdict
	}
	s.enter(judge(e, prev.Verdict, set, allowDown), now, set)
	s.Changed = s.Verdict != prev.Verdict
	if s.Changed {
		s.SinceUnixMilli = now
	}
	s.noteBad(prev, now)
	s.allowSwitch(prev, now, set)
	s.Evidence = make([]string, 0, len(s.Voices))
	for _, v := range s.Voices {
		s.Evidence = append(s.Evidence, v.sentence(now, set))
	}
	return s
}

// enter applies hysteresis: worse is believed at once, better only after a while without a break.
func (s *State) enter(j judgement, now int64, set Settings) {
	better := j.verdict.severity() < s.Verdict.severity()
	if !better || s.Verdict == "" || j.verdict == Unknown && s.Verdict == Down {
		// The last: another cluster in the place of one that is down. That is never DOWN.
		s.BetterSinceUnixMilli = 0
		s.Verdict, s.Reason = j.verdict, j.reason
		return
	}
	if s.BetterSinceUnixMilli == 0 || s.BetterSinceUnixMilli > now {
		s.BetterSinceUnixMilli = now
	}
	wait := set.SettleAfterMS
	if s.Verdict == Down {
		wait = set.RecoverAfterMS
	}
	since := now - s.BetterSinceUnixMilli
	if since >= wait {
		s.BetterSinceUnixMilli = 0
		s.Verdict, s.Reason = j.verdict, j.reason
		return
	}
	s.Reason = "better for " + seconds(since) + " of the " + seconds(wait) + " that are waited for: " + j.reason
}

func (s *State) noteBad(prev State, now int64) {
	switch {
	case !s.Verdict.Bad():
		s.BadSinceUnixMilli = 0
	case s.BadSinceUnixMilli == 0 && prev.Verdict.Bad() && prev.SinceUnixMilli <= now:
		s.BadSinceUnixMilli = prev.SinceUnixMilli
	case s.BadSinceUnixMilli == 0 || s.BadSinceUnixMilli > now:
		s.BadSinceUnixMilli = now
	}
}

// allowSwitch is the flapping part of rule C4: one automatic switch per FlapWindow.
func (s *State) allowSwitch(prev State, now int64, set Settings) {
	last := prev.LastSwitchUnixMilli
	switch {
	case s.Verdict != Down:
		s.SwitchAllowed = false
	case s.Changed && (last == 0 || now-last >= set.FlapWindowMS):
		s.SwitchAllowed, s.LastSwitchUnixMilli = true, now
	case s.Changed:
		s.SwitchAllowed = false
	}
	if s.Verdict == Down && !s.SwitchAllowed && last > 0 {
		s.Reason += "; it was down " + seconds(now-last) + " ago already, so nothing is switched automatically again"
	}
}
