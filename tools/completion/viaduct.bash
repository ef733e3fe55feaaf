# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for viaduct(1): commands from the program itself, names from the running daemon.

_viaduct_names() {
	"$1" disk list --no-color 2>/dev/null | sed -n '2,$s/ .*//p'
}

_viaduct_guests() {
	{
		_viaduct_names "$1"
		"$1" nic list --no-color 2>/dev/null | sed -n '2,$s/ .*//p'
		"$1" status --no-color 2>/dev/null | sed -n 's|^\([A-Za-z0-9._-]*/[A-Za-z0-9._-]*\) .*|\1|p'
		"$1" console --no-color 2>/dev/null | sed -n '2,$s/ .*//p'
	} | sed 's|/.*||' | sort -u
}

_viaduct() {
	local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[0]} words="" first=${COMP_WORDS[1]-}

	case $COMP_CWORD:$first in
	1:*)
		words=$("$command" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\).*/\1/p' | sort -u)
		;;
	2:pool | 2:disk | 2:nic | 2:switch | 2:forward | 2:seat | 2:guest | 2:group)
		words=$("$command" help "$first" 2>/dev/null | sed -n "s/^  viaduct $first \([a-z-]*\).*/\1/p")
		;;
	2:help)
		words=$("$command" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\).*/\1/p' | sort -u)
		;;
	2:run | 2:qemu-args | 2:libvirt-xml | 2:ch-args)
		words=$(_viaduct_guests "$command")
		;;
	2:console)
		words=$("$command" console --no-color 2>/dev/null | sed -n '2,$s/ .*//p' | sed 'p;s|/.*||' | sort -u)
		;;
	2:capture | 3:nic)
		words=$("$command" nic list --no-color 2>/dev/null | sed -n '2,$s/ .*//p')
		;;
	3:guest)
		words=$(_viaduct_guests "$command")
		;;
	3:switch | 3:forward)
		words=$("$command" switch list --no-color 2>/dev/null | sed -n '2,$s/ .*//p')
		;;
	3:seat | 2:screenshot)
		words=$("$command" seat list --no-color 2>/dev/null | sed -n '2,$s/ .*//p')
		[[ $first == screenshot ]] && words="$words $(_viaduct_guests "$command")"
		;;
	4:seat)
		[[ ${COMP_WORDS[2]-} == focus ]] && words="none $(_viaduct_guests "$command")"
		;;
	3:disk)
		words=$(_viaduct_names "$command")
		;;
	3:pool)
		words=$("$command" pool list --no-color 2>/dev/null | sed -n '2,$s/ .*//p')
		;;
	*:disk)
		[[ ${COMP_WORDS[2]-} == set ]] &&
			words="weight= min_iops= max_iops= min_bandwidth= max_bandwidth= burst= latency_target="
		;;
	*:nic)
		[[ ${COMP_WORDS[2]-} == set ]] && words="weight= min_bandwidth= max_bandwidth= max_pps= burst="
		[[ ${COMP_WORDS[2]-} == link ]] && words="up down default"
		;;
	*:guest | *:group)
		[[ ${COMP_WORDS[2]-} == set ]] &&
			words="disk_weight= disk_min_iops= disk_max_iops= disk_min_bandwidth= disk_max_bandwidth= disk_burst=
				nic_weight= nic_min_bandwidth= nic_max_bandwidth= nic_max_pps= nic_burst="
		;;
	esac
	if [[ $current == -* ]]; then
		words="--runtime-dir --json --no-color --help $("$command" help "$first" "${COMP_WORDS[2]-}" 2>/dev/null |
			grep -o -- '--[a-z-]*' | sort -u)"
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o default -F _viaduct viaduct
