rule diffusion:
    input:
        trajectory=f"{RESULTS}/{RUN}/trajectory.h5",
        record=f"{RESULTS}/{RUN}/run.json",
    output:
        record=f"{RESULTS}/{RUN}/transport.json",
        figure=f"{RESULTS}/{RUN}/transport.png",
    params:
        temperature_K=kelvin,
        settings=options(CAMPAIGN.diffusion),
    log:
        f"{WORK}/logs/{RUN}/diffusion.log",
    benchmark:
        f"{WORK}/benchmarks/{RUN}/diffusion.tsv"
    threads: 1
    resources:
        mem_mb=lambda w: NEEDS.memory_MB(w.material),
        runtime=60,
    shell:
        "OMP_NUM_THREADS={threads} halmd diffusion {input.trajectory} --run {input.record} "
        "--output {output.record} --figure {output.figure} --temperature-K {params.temperature_K} "
        "{params.settings} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule jumps:
    input:
        f"{RESULTS}/{RUN}/trajectory.h5",
    output:
        record=f"{RESULTS}/{RUN}/jumps.json",
        figure=f"{RESULTS}/{RUN}/jumps.png",
    params:
        settings=options(CAMPAIGN.diffusion, ("mobile", "framework", "jump_length_A")),
    log:
        f"{WORK}/logs/{RUN}/jumps.log",
    benchmark:
        f"{WORK}/benchmarks/{RUN}/jumps.tsv"
    threads: 1
    resources:
        mem_mb=lambda w: NEEDS.memory_MB(w.material),
        runtime=60,
    shell:
        "OMP_NUM_THREADS={threads} halmd jumps {input} --output {output.record} "
        "--figure {output.figure} {params.settings} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule density:
    input:
        f"{RESULTS}/{RUN}/trajectory.h5",
    output:
        grid=f"{RESULTS}/{RUN}/density.vasp",
        figure=f"{RESULTS}/{RUN}/density.png",
    params:
        settings=options(CAMPAIGN.diffusion, ("mobile", "framework")),
    log:
        f"{WORK}/logs/{RUN}/density.log",
    benchmark:
        f"{WORK}/benchmarks/{RUN}/density.tsv"
    threads: 1
    resources:
        mem_mb=lambda w: NEEDS.memory_MB(w.material),
        runtime=60,
    shell:
        "OMP_NUM_THREADS={threads} halmd density {input} --output {output.grid} "
        "--figure {output.figure} {params.settings} > {log} 2>&1 "
        "|| {{ code=$?; cat {log} >&2; exit $code; }}"


rule arrhenius:
    input:
        runs=lambda w: run_files(w.material, "transport.json"),
        # Named beside them: results of other temperatures would pass for these otherwise.
        chosen=f"{RESULTS}/{{material}}/temperatures.json" if AUTO else [],
    output:
        f"{RESULTS}/{{material}}/arrhenius.json",
    params:
        settings=options(CAMPAIGN.arrhenius),
    log:
        f"{WORK}/logs/{{material}}/arrhenius.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/arrhenius.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "OMP_NUM_THREADS={threads} halmd arrhenius {input.runs} --output {output} {params.settings} "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"


# What a pellet of crystals with one axis conducts, on request
# (`snakemake results/MATERIAL/polycrystal.json`).
rule polycrystal:
    input:
        lambda w: run_files(w.material, "transport.json"),
    output:
        f"{RESULTS}/{{material}}/polycrystal.json",
    params:
        extrapolate_to_K=CAMPAIGN.arrhenius.extrapolate_to_K,
    log:
        f"{WORK}/logs/{{material}}/polycrystal.log",
    benchmark:
        f"{WORK}/benchmarks/{{material}}/polycrystal.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "OMP_NUM_THREADS={threads} halmd polycrystal {input} --output {output} "
        "--extrapolate-to-K {params.extrapolate_to_K} "
        "> {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"
