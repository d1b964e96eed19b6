# OMP_NUM_THREADS is set before Python starts: numeric libraries read it when they are loaded.


BATCH = f"{WORK}/{{material}}/batch.json" if CAMPAIGN.dynamics.engine == "batched" else []


# With `temperatures_K: auto`: which runs there are is known when this has run.
checkpoint temperatures:
    input:
        ordering=f"{RESULTS}/{{material}}/orderings/00.extxyz",
        potential=POTENTIAL,
    output:
        f"{RESULTS}/{{material}}/temperatures.json",
    params:
        scratch=f"{WORK}/{{material}}/temperatures",
        seed=lambda w: seed_of(CAMPAIGN, "temperatures", w.material),
        settings=ramp_options(CAMPAIGN.dynamics),
        diffusion=options(CAMPAIGN.diffusion, ("mobile", "min_jumps", "jump_length_A")),
        extrapolation=EXTRAPOLATION,
    log:
        f"{WORK}/logs/{{material}}/temperatures.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/temperatures.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=480,
    shell:
        "OMP_NUM_THREADS={threads} halmd temperatures {input.ordering} "
        "--potential {input.potential} --output {output} --scratch {params.scratch} "
        "--seed {params.seed} {params.settings} {params.diffusion} {params.extrapolation} "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"


# With `engine: batched`: all runs of a material at once, up to their last checkpoints. The rules
# below it then only write down what it has left in their scratch folders.
rule batch:
    input:
        orderings=[
            f"{RESULTS}/{{material}}/orderings/{n:02d}.extxyz"
            for n in range(CAMPAIGN.structure.n_orderings)
        ],
        chosen=f"{RESULTS}/{{material}}/temperatures.json" if AUTO else [],
        potential=POTENTIAL,
    output:
        f"{WORK}/{{material}}/batch.json",
    params:
        campaign=lambda w: batch_text(CAMPAIGN, material_named(CAMPAIGN, w.material)),
        file=f"{WORK}/{{material}}/campaign.json",
    log:
        f"{WORK}/logs/{{material}}/batch.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/batch.tsv"
    threads: 1
    retries: retries(NEEDS.retries())
    resources:
        mem_mb=8000,
        runtime=lambda w, attempt: NEEDS.batch_minutes(w.material, attempt),
        gpu=1,
    shell:
        "printf %s {params.campaign:q} > {params.file} && OMP_NUM_THREADS={threads} halmd batch "
        "{params.file} --material {wildcards.material} --record {output} "
        "--max-minutes $(({resources.runtime} * 95 / 100)) "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"


rule equilibrate:
    input:
        ordering=f"{RESULTS}/{{material}}/orderings/{{ordering}}.extxyz",
        potential=POTENTIAL,
        batch=BATCH,
    output:
        start=f"{RESULTS}/{RUN}/equilibrated.extxyz",
        record=f"{RESULTS}/{RUN}/npt.json",
    params:
        seed=run_seed("equilibrate"),
        temperature_K=kelvin,
        scratch=f"--scratch {WORK}/{RUN}" if BATCH else "",
        settings=options(CAMPAIGN.dynamics, EQUILIBRATION),
        extrapolation=EXTRAPOLATION,
    log:
        f"{WORK}/logs/{RUN}/equilibrate.log",
    benchmark:
        f"{WORK}/benchmarks/{RUN}/equilibrate.tsv"
    threads: 1
    retries: retries(2)
    resources:
        mem_mb=2000,
        runtime=lambda w, attempt: NEEDS.equilibrate_minutes(w.material, attempt),
    shell:
        "OMP_NUM_THREADS={threads} halmd equilibrate {input.ordering} --potential {input.potential} "
        "--output {output.start} --record {output.record} --temperature-K {params.temperature_K} "
        "--seed {params.seed} {params.settings} {params.scratch} {params.extrapolation} "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"


# Lattice constants at room temperature, on request (`snakemake lattices`).
rule lattice:
    input:
        orderings=[
            f"{RESULTS}/{{material}}/orderings/{n:02d}.extxyz"
            for n in range(CAMPAIGN.structure.n_orderings)
        ],
        summary=f"{RESULTS}/{{material}}/orderings/orderings.json",
        potential=POTENTIAL,
    output:
        f"{RESULTS}/{{material}}/lattice.json",
    params:
        scratch=f"{WORK}/{{material}}/lattice",
        seed=lambda w: seed_of(CAMPAIGN, "lattice", w.material),
        settings=options(CAMPAIGN.dynamics, LATTICE),
        extrapolation=EXTRAPOLATION,
    log:
        f"{WORK}/logs/{{material}}/lattice.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/lattice.tsv"
    threads: 1
    retries: retries(2)
    resources:
        mem_mb=2000,
        runtime=lambda w, attempt: NEEDS.lattice_minutes(w.material, attempt),
    shell:
        "OMP_NUM_THREADS={threads} halmd lattice {input.orderings} --potential {input.potential} "
        "--output {output} --scratch {params.scratch} --seed {params.seed} {params.settings} "
        "{params.extrapolation} > {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"


rule dynamics:
    input:
        start=f"{RESULTS}/{RUN}/equilibrated.extxyz",
        potential=POTENTIAL,
    output:
        trajectory=f"{RESULTS}/{RUN}/trajectory.h5",
        record=f"{RESULTS}/{RUN}/run.json",
    params:
        # Checkpoints lie outside of the outputs: Snakemake deletes outputs of jobs that fail.
        scratch=f"{WORK}/{RUN}",
        seed=run_seed("dynamics"),
        settings=lambda w: with_temperature(CAMPAIGN.dynamics, kelvin(w)),
        mobile=CAMPAIGN.diffusion.mobile,
        extrapolation=EXTRAPOLATION,
    log:
        f"{WORK}/logs/{RUN}/dynamics.log",
    benchmark:
        f"{WORK}/benchmarks/{RUN}/dynamics.tsv"
    threads: 1
    # A run that nears the end of its allowance stops at a checkpoint (exit code 75) and continues.
    retries: retries(NEEDS.retries())
    resources:
        mem_mb=lambda w: NEEDS.memory_MB(w.material),
        runtime=lambda w, attempt: NEEDS.dynamics_minutes(w.material, attempt),
    shell:
        "OMP_NUM_THREADS={threads} halmd dynamics {input.start} --potential {input.potential} "
        "--output {output.trajectory} --record {output.record} --scratch {params.scratch} "
        "--seed {params.seed} {params.settings} --mobile {params.mobile} {params.extrapolation} "
        "--max-minutes $(({resources.runtime} * 95 / 100)) "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"
